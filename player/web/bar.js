// When the controls are seen: while somebody moves, touches or types, and for a moment after; always while nothing plays.

/** @import { Stage } from "./stage.js" */

const SEEN = 3000; // ms after the last sign of somebody

export class Bar {
  /**
   * @param {HTMLElement} player
   * @param {Stage} stage
   */
  constructor(player, stage) {
    this.player = player;
    this.stage = stage;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.timer = undefined;
    const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
    const menu = find("menu"), more = find("more");
    const open = (/** @type {boolean} */ on) => {
      menu.classList.toggle("open", on);
      more.ariaExpanded = String(on);
    };
    more.onclick = () => open(more.ariaExpanded !== "true");
    player.addEventListener("pointerdown", (e) => {
      if (e.target instanceof Node && !menu.contains(e.target) && !more.contains(e.target)) open(false);
    });
    document.addEventListener("keydown", (e) => { // Safari leaves the focus where it was when a button is clicked
      if (e.key !== "Escape" || more.ariaExpanded !== "true") return;
      open(false);
      more.focus();
    });
    this.menu = menu;
    for (const sign of ["pointermove", "pointerdown", "keydown", "focusin", "wheel"]) player.addEventListener(sign, () => this.show(), { passive: true });
    player.addEventListener("pointerleave", (e) => e.pointerType === "mouse" && this.hide()); // a finger leaves whenever it is lifted
    this.show();
  }

  /** Somebody is there. */
  show() {
    this.player.classList.remove("idle");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.hide(), SEEN);
  }

  /** Nobody seems to be. What is in use stays: a menu, a control that the keyboard is at, or one below the pointer. */
  hide() {
    const bar = this.player.querySelector("#bar");
    const used = this.menu.classList.contains("open") || bar?.matches(":hover") || this.player.querySelector("#bar :focus-visible, #corner :focus-visible") || document.querySelector("dialog[open]");
    const plays = this.stage.sync.wanted && !this.stage.sync.blocked && !this.stage.sync.leader?.video.ended && this.stage.panes.every((p) => !p.lost && !p.dead);
    if (plays && !used) this.player.classList.add("idle");
    else this.show();
  }
}
