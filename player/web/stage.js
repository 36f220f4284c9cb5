// The stage shows panes side by side in one canvas, all in the same direction and at the
// same moment, and says below each name what it is made of.

import { Sync } from "./sync.js";

/** @import { Pane, Frame } from "./pane.js" */
/** @import { View, Rectangle } from "./view.js" */
/** @import { Looking } from "./look.js" */

const PATIENCE = 500; // ms that what is shown may stay, where panes have no moment in common

export class Stage {
  /**
   * @param {View} view
   * @param {Looking} looking
   * @param {HTMLElement} captions
   */
  constructor(view, looking, captions) {
    this.view = view;
    this.looking = looking;
    this.captions = captions;
    /** @type {Pane[]} */
    this.panes = [];
    this.sync = new Sync(this.panes);
    this.difference = false;
    this.gain = 8;
    this.told = false; // what the streams are, though there is one alone
    this.dirty = true;
    this.chosen = 0; // when what is shown was chosen, in ms of the page
    const loop = () => {
      if (this.dirty) this.draw();
      requestAnimationFrame(loop);
    };
    requestAnimationFrame(loop);
    view.restored = () => {
      for (const p of this.panes) p.regrab();
      this.dirty = true;
    };
    new ResizeObserver(() => (this.dirty = true)).observe(view.canvas);
    setInterval(() => this.caption(), 500);
  }

  /** @param {Pane[]} panes */
  show(panes) {
    for (const p of this.panes) if (!panes.includes(p)) p.close();
    this.panes = panes;
    if (this.view.plain) panes.forEach((p, i) => (i === 0 ? this.view.canvas.after(p.video) : p.video.remove())); // the first is seen itself
    for (const p of panes) p.compare(panes.length);
    const { wanted, rate } = this.sync;
    this.sync.close();
    this.sync = new Sync(panes);
    this.sync.rate = rate;
    if (wanted) this.sync.play();
    this.captions.replaceChildren(...this.places().map(() => Object.assign(document.createElement("div"), { className: "caption" })));
    this.caption();
    this.dirty = true;
  }

  /** Whether there is a difference to show: of the first two. */
  get comparable() {
    return this.panes.length > 1;
  }

  /** Where each pane is in the canvas, and last the difference, if it is shown. @returns {Rectangle[]} */
  places() {
    const count = this.panes.length + (this.difference && this.comparable ? 1 : 0);
    const { width, height } = this.view.canvas;
    // The grid whose panes come nearest to 4:3, with few cells left over.
    let columns = 1;
    const off = (/** @type {number} */ c) => {
      const rows = Math.ceil(count / c);
      return Math.abs(Math.log(width / c / (height / rows) / (4 / 3))) + (rows * c - count) / count;
    };
    for (let c = 2; c <= count; c++) if (off(c) < off(columns)) columns = c;
    const rows = Math.ceil(count / columns);
    return Array.from({ length: count }, (_, i) => {
      const [column, row] = [i % columns, Math.floor(i / columns)];
      const [x, y] = [Math.round((column * width) / columns), Math.round((row * height) / rows)];
      return { x, y, width: Math.round(((column + 1) * width) / columns) - x, height: Math.round(((row + 1) * height) / rows) - y };
    });
  }

  /**
   * Chooses what every pane shows: of those that keep time together, frames of one moment. Where they have
   * none in common, what is shown stays for a while.
   */
  choose() {
    const { sync } = this;
    const together = this.panes.filter((p) => !p.dead && (p === sync.leader || (sync.offset(p) === 0 && !sync.over(p))));
    for (const p of this.panes) if (!together.includes(p)) p.shown = p.frames.at(-1);
    const best = nearest(together);
    const now = performance.now();
    if (best && best.apart <= best.step / 2) {
      this.chosen = now;
      together.forEach((p, i) => (p.shown = best.frames[i]));
    } else if (now - this.chosen >= PATIENCE || together.some((p) => !p.shown)) {
      for (const p of together) p.shown = p.frames.at(-1);
    }
  }

  draw() {
    this.dirty = false;
    const { view, looking: { look } } = this;
    view.clear();
    const places = this.places();
    this.choose();
    this.panes.forEach(({ shown }, i) => {
      const place = places[i];
      if (shown && place) view.draw(place, look, shown.picture);
    });
    const [place, one, two] = [places[this.panes.length], this.panes[0]?.shown, this.panes[1]?.shown];
    if (place && one && two) view.draw(place, look, one.picture, two.picture, this.gain);
  }

  caption() {
    const places = this.places();
    this.captions.classList.toggle("quiet", this.panes.length < 2 && !this.told);
    const ratio = devicePixelRatio;
    [...this.captions.children].forEach((element, i) => {
      const place = places[i];
      if (!(element instanceof HTMLElement) || !place) return;
      element.style.left = `${place.x / ratio}px`;
      element.style.top = `${place.y / ratio}px`;
      element.style.maxWidth = `${place.width / ratio}px`;
      const pane = this.panes[i];
      element.textContent = pane ? facts(pane) : `difference of the first two × ${this.gain}`;
    });
  }
}

/**
 * One frame of each pane, those that are least apart, and of such the newest. step is the time between two frames.
 * @param {Pane[]} panes
 */
function nearest([leader, ...others]) {
  if (!leader || others.some((p) => p.frames.length === 0)) return undefined;
  const steps = leader.frames.slice(1).map((f, i) => f.time - (leader.frames[i]?.time ?? 0)).filter((s) => s > 0.001);
  const step = Math.min(0.05, ...steps); // of what the browser left out, the least is the frame's
  /** @type {{frames: Frame[], apart: number, step: number} | undefined} */
  let best;
  for (const first of leader.frames.toReversed()) {
    const off = (/** @type {Frame} */ f) => Math.abs(f.time - first.time);
    const frames = [first, ...others.map((p) => p.frames.reduce((a, b) => (off(b) < off(a) ? b : a)))];
    const times = frames.map((f) => f.time);
    const apart = Math.max(...times) - Math.min(...times);
    if (!best || apart < best.apart - 0.001) best = { frames, apart, step };
  }
  return best;
}

/** @param {Pane} pane */
function facts(pane) {
  const { video, stream, bitrate, buffer, live, wasLive } = pane;
  const said = [stream.title];
  if (video.videoWidth) said.push(`${video.videoWidth}×${video.videoHeight}`);
  if (bitrate) said.push(`${(bitrate / 1e6).toFixed(2)} Mbit/s`);
  said.push(`buffer ${buffer.toFixed(0)} s`);
  if (live) said.push("live");
  else if (wasLive) said.push("the event has ended");
  if (pane.dead) said.push("cannot be played");
  else if (pane.lost) said.push("no connection");
  else if (video.readyState < HTMLMediaElement.HAVE_FUTURE_DATA && !video.ended) said.push("loading…");
  return said.join(" · ");
}
