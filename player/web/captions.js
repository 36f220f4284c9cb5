// Captions that a stream carries: those in its pictures (CEA-608), or WebVTT. hls.js turns both into text tracks; the video itself isn't seen, so
// their words are shown above it.

/** @import { Stage } from "./stage.js" */

export class Captions {
  /**
   * @param {Stage} stage
   * @param {HTMLElement} words - where they are shown
   * @param {HTMLButtonElement} button - that switches them
   */
  constructor(stage, words, button) {
    this.stage = stage;
    this.words = words;
    this.button = button;
    this.on = false;
    button.onclick = () => this.toggle();
  }

  /** The first track that has something to say. */
  get track() {
    return [...(this.stage.sync.leader?.video.textTracks ?? [])].find((t) => (t.kind === "captions" || t.kind === "subtitles") && (t.cues?.length ?? 0) > 0);
  }

  toggle() {
    if (this.button.hidden) return;
    this.on = !this.on;
    this.button.ariaPressed = String(this.on);
    this.update();
  }

  /** Shows what is said now. */
  update() {
    const { track } = this;
    for (const t of this.stage.sync.leader?.video.textTracks ?? []) if (t.mode === "disabled" && t.kind !== "metadata") t.mode = "hidden"; // read, and shown by us
    if (track) this.button.hidden = false;
    const cues = this.on && track ? [...(track.activeCues ?? [])] : [];
    const text = cues.map((c) => ("getCueAsHTML" in c ? /** @type {VTTCue} */ (c).getCueAsHTML().textContent : "")).join("\n").trim();
    this.words.hidden = text === "";
    if (this.words.textContent !== text) this.words.textContent = text;
  }
}
