// Where the viewer looks: by mouse, touch, keys, wheel, and the way the device is held.

/** @import { Look } from "./view.js" */

const NARROW = 30;
const WIDE = 110; // degrees of field of view, of the shorter side
const STEP = 5; // degrees a key press

export class Looking {
  /**
   * @param {HTMLElement} element - that takes the gestures
   * @param {() => void} changed
   */
  constructor(element, changed) {
    /** @type {Look} */
    this.look = { yaw: 0, pitch: 0, roll: 0, fov: 75 };
    this.element = element;
    this.changed = changed;
    this.home = { ...this.look };
    /** @type {Map<number, {x: number, y: number}>} the fingers that are down */
    this.fingers = new Map();
    element.addEventListener("pointerdown", (e) => {
      if (e.button !== 0 || (e.target instanceof Element && e.target.closest("button"))) return;
      element.setPointerCapture(e.pointerId);
      this.fingers.set(e.pointerId, { x: e.clientX, y: e.clientY });
    });
    element.addEventListener("pointermove", (e) => this.drag(e));
    for (const end of /** @type {const} */ (["pointerup", "pointercancel"])) {
      element.addEventListener(end, (e) => this.fingers.delete(e.pointerId));
    }
    element.addEventListener("wheel", (e) => {
      e.preventDefault();
      this.zoom(Math.exp(e.deltaY * 0.001));
    }, { passive: false });
  }

  /** @param {Partial<Look>} to */
  set(to) {
    const look = { ...this.look, ...to };
    look.pitch = Math.max(-90, Math.min(90, look.pitch));
    look.yaw = ((((look.yaw + 180) % 360) + 360) % 360) - 180;
    look.fov = Math.max(NARROW, Math.min(WIDE, look.fov));
    this.look = look;
    this.changed();
  }

  /** @param {number} factor - above 1: wider */
  zoom(factor) {
    this.set({ fov: this.look.fov * factor });
  }

  /** Two fingers zoom, one turns: what is under it stays under it, about. @param {PointerEvent} e */
  drag(e) {
    if (e.buttons === 0) this.fingers.delete(e.pointerId); // its end was told to something else, such as a menu
    const before = this.fingers.get(e.pointerId);
    if (!before) return;
    const now = { x: e.clientX, y: e.clientY };
    const other = [...this.fingers].find(([id]) => id !== e.pointerId)?.[1];
    this.fingers.set(e.pointerId, now);
    if (other) {
      const apart = Math.hypot(now.x - other.x, now.y - other.y);
      if (apart > 0) this.zoom(Math.hypot(before.x - other.x, before.y - other.y) / apart);
      return;
    }
    const scale = this.look.fov / Math.min(this.element.clientWidth, this.element.clientHeight);
    this.set({ yaw: this.look.yaw - (now.x - before.x) * scale, pitch: this.look.pitch + (now.y - before.y) * scale });
  }

  /** @param {string} key @returns {boolean} whether it was one of ours */
  key(key) {
    const { yaw, pitch } = this.look;
    switch (key) {
      case "ArrowLeft": this.set({ yaw: yaw - STEP }); break;
      case "ArrowRight": this.set({ yaw: yaw + STEP }); break;
      case "ArrowUp": this.set({ pitch: pitch + STEP }); break;
      case "ArrowDown": this.set({ pitch: pitch - STEP }); break;
      case "+": case "=": this.zoom(0.9); break;
      case "-": this.zoom(1 / 0.9); break;
      case "0": case "Home": this.set(this.home); break;
      default: return false;
    }
    return true;
  }

  /**
   * Follows the device from now on, or no longer. Throws what to tell the viewer where it can't.
   * @param {boolean} on
   */
  async motion(on) {
    if (this.held) window.removeEventListener("deviceorientation", this.held);
    this.held = undefined;
    if (!on) {
      this.set({ roll: 0 });
      return;
    }
    if (!("DeviceOrientationEvent" in window)) throw new Error("This device doesn't tell how it is held.");
    const ask = /** @type {{requestPermission?: () => Promise<string>}} */ (DeviceOrientationEvent).requestPermission;
    if (ask && (await ask()) !== "granted") throw new Error("The browser was told not to say how the device is held.");
    /** @type {number | undefined} */
    let start; // so that the view begins where it is
    this.held = (/** @type {DeviceOrientationEvent} */ e) => {
      if (e.alpha === null || e.beta === null || e.gamma === null) return;
      const to = held(e.alpha, e.beta, e.gamma, screen.orientation?.angle ?? 0);
      start ??= this.look.yaw - to.yaw;
      this.set({ ...to, yaw: to.yaw + start });
    };
    window.addEventListener("deviceorientation", this.held);
  }
}

/**
 * The direction in which a device's back looks, from its angles (W3C Device Orientation:
 * rotations about z, x and y, in this order, in degrees) and the screen's.
 * @param {number} alpha @param {number} beta @param {number} gamma @param {number} angle
 */
export function held(alpha, beta, gamma, angle) {
  const [a, b, g] = /** @type {[number, number, number]} */ ([alpha, beta, gamma].map((x) => (x * Math.PI) / 180));
  const { sin, cos } = Math;
  // The device's axes in the world's (x east, y north, z up): columns of Rz(alpha) Rx(beta) Ry(gamma).
  const right = [cos(a) * cos(g) - sin(a) * sin(b) * sin(g), sin(a) * cos(g) + cos(a) * sin(b) * sin(g), -cos(b) * sin(g)];
  const top = [-sin(a) * cos(b), cos(a) * cos(b), sin(b)];
  const out = [cos(a) * sin(g) + sin(a) * sin(b) * cos(g), sin(a) * sin(g) - cos(a) * sin(b) * cos(g), cos(b) * cos(g)];
  const t = (angle * Math.PI) / 180;
  const up = top.map((y, i) => y * cos(t) + (right[i] ?? 0) * sin(t)); // of the screen
  const side = right.map((x, i) => x * cos(t) - (top[i] ?? 0) * sin(t));
  const [fx = 0, fy = 0, fz = 0] = out.map((x) => -x); // one looks against the screen's outward axis
  const degrees = 180 / Math.PI;
  return {
    yaw: Math.atan2(fx, fy) * degrees,
    pitch: Math.asin(Math.max(-1, Math.min(1, fz))) * degrees,
    roll: Math.atan2(-(side[2] ?? 0), up[2] ?? 1) * degrees,
  };
}
