// The bar below the picture, and the keys.

import { Captions } from "./captions.js";
import { Headset } from "./headset.js";
import { keep, kept } from "./choices.js";
import { face } from "./faces.js";

/** @import { Stage } from "./stage.js" */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} kind
 * @returns {T}
 */
export function element(id, kind) {
  const e = document.getElementById(id);
  if (!(e instanceof kind)) throw new Error(`the page has no ${id}`);
  return e;
}

const button = (/** @type {string} */ id) => element(id, HTMLButtonElement);
const range = (/** @type {string} */ id) => element(id, HTMLInputElement);

const SKIP = 10; // s
const AT_THE_EDGE = 12; // s by which a player may lag and still be live: two segments

export class Controls {
  /**
   * @param {Stage} stage
   * @param {(message: string) => void} fail
   */
  constructor(stage, fail) {
    this.stage = stage;
    this.fail = fail;
    this.levels = ""; // those that the menu shows
    this.hushed = false; // the viewer has said whether there is to be sound
    this.frameRate = 0; // frames a second, where it is known
    this.headset = new Headset(stage, button("headset"), fail);
    this.captions = new Captions(stage, element("words", HTMLElement), button("words-on"));
    button("sound").onclick = () => this.mute(false);
    button("compass").onclick = () => stage.looking.set(stage.looking.home);
    button("play").onclick = button("start").onclick = () => this.toggle();
    button("mute").onclick = () => this.mute();
    button("full").onclick = () => this.fullscreen();
    button("live").onclick = () => this.edge();
    button("restart").onclick = () => this.restart();
    button("difference").onclick = () => this.difference();
    button("curves").onclick = () => this.curves();
    button("pip").onclick = () => this.smallWindow();
    button("motion").onclick = () => this.motion();
    button("motion").hidden = !("ondeviceorientation" in window) || !matchMedia("(pointer: coarse)").matches;
    range("seek").oninput = () => stage.sync.seek(Number(range("seek").value));
    range("volume").oninput = () => {
      this.loudness();
      this.mute(false);
      keep({ volume: Number(range("volume").value) });
    };
    range("gain").oninput = () => {
      stage.gain = Number(range("gain").value);
      stage.dirty = true;
      stage.caption();
    };
    element("quality", HTMLSelectElement).onchange = () => {
      this.choose();
      keep({ height: Number(element("quality", HTMLSelectElement).value) });
    };
    element("speed", HTMLSelectElement).onchange = () => this.speed(Number(element("speed", HTMLSelectElement).value));
    button("share").onclick = () => this.share();
    element("stage", HTMLElement).addEventListener("dblclick", () => void this.fullscreen());
    button("full").hidden = !document.fullscreenEnabled;
    range("volume").value = String(kept().volume ?? 1);
    document.addEventListener("keydown", (e) => this.key(e));
    face(button("full"), "full", "Full screen");
  }

  get video() {
    return this.stage.sync.leader?.video;
  }

  /** Seconds that a frame lasts. */
  get frame() {
    return 1 / (this.frameRate || 30);
  }

  toggle() {
    if (this.stage.sync.wanted && !this.video?.ended && !this.stage.sync.blocked) this.stage.sync.pause();
    else {
      if (this.video?.ended) this.stage.sync.seek(0);
      this.stage.sync.play();
    }
    this.update();
  }

  /** Only the first pane is ever heard. @param {boolean} [to] */
  mute(to) {
    const { video } = this;
    this.hushed = true; // whoever has chosen need not be asked
    if (video) video.muted = to ?? !video.muted;
    this.update();
  }

  /** As loud as the slider says. */
  loudness() {
    for (const { video } of this.stage.panes) video.volume = Number(range("volume").value);
  }

  /** @param {number} to - times as fast */
  speed(to) {
    this.stage.sync.rate = to;
    if (this.video) this.video.playbackRate = to;
    element("speed", HTMLSelectElement).value = String(to);
  }

  /** The next slower, or faster, speed that there is. @param {number} by */
  faster(by) {
    const all = [...element("speed", HTMLSelectElement).options].map((o) => Number(o.value));
    const next = all[all.indexOf(this.stage.sync.rate) + by];
    if (next) this.speed(next);
  }

  /** Gives the address of this moment, and of this view. */
  async share() {
    const address = new URL(location.href), { look } = this.stage.looking;
    address.searchParams.set("t", String(Math.floor(this.video?.currentTime ?? 0)));
    if (this.stage.panes.some((p) => p.stream.projection !== "flat")) {
      for (const key of /** @type {const} */ (["yaw", "pitch", "fov"])) address.searchParams.set(key, String(Math.round(look[key])));
    }
    element("address", HTMLInputElement).value = address.href;
    const told = await navigator.clipboard?.writeText(address.href).then(() => "It is copied.", () => "").catch(() => "");
    element("copied", HTMLElement).textContent = told || "Copy it from here.";
    element("shared", HTMLDialogElement).showModal();
    element("address", HTMLInputElement).select();
  }

  /** What is known of the streams, above their pictures: side by side always, of one alone if it is wanted. */
  statistics() {
    this.stage.told = !this.stage.told;
    this.stage.caption();
  }

  /** Where one looks, as a needle: up is ahead. */
  around() {
    const b = button("compass"), { yaw } = this.stage.looking.look;
    b.hidden = this.stage.view.plain || !this.stage.panes.some((p) => p.stream.projection !== "flat");
    const needle = b.querySelector("svg");
    if (needle) needle.style.transform = `rotate(${yaw}deg)`;
  }

  edge() {
    for (const p of this.stage.panes) if (p.hls?.liveSyncPosition) p.video.currentTime = p.hls.liveSyncPosition;
  }

  restart() {
    const { video } = this;
    if (video?.seekable.length) this.stage.sync.seek(video.seekable.start(0));
  }

  /** How live the first pane is: its button says by how much it is behind. */
  live() {
    const pane = this.stage.sync.leader;
    const now = pane?.hls?.liveSyncPosition ?? 0;
    const at = pane?.video.currentTime ?? 0;
    const behind = now - at > AT_THE_EDGE;
    const b = button("live");
    b.hidden = !pane?.live;
    b.ariaPressed = String(!behind);
    b.textContent = behind ? `LIVE −${clock(now - at)}` : "● LIVE";
    button("restart").hidden = !pane?.live || at < AT_THE_EDGE;
  }

  async fullscreen() {
    try {
      if (document.fullscreenElement) await document.exitFullscreen();
      else await element("player", HTMLElement).requestFullscreen();
    } catch {
      this.fail("The browser refuses full screen.");
    }
  }

  difference() {
    const { stage } = this;
    stage.difference = !stage.difference && stage.comparable;
    stage.show(stage.panes);
    this.update();
  }

  curves() {
    const measured = element("measured", HTMLElement);
    measured.hidden = !measured.hidden;
    button("curves").ariaPressed = String(!measured.hidden);
  }

  /** A flat video in a window of its own, above others, and back. */
  async smallWindow() {
    try {
      if (document.pictureInPictureElement) await document.exitPictureInPicture();
      else await this.video?.requestPictureInPicture();
    } catch (e) {
      this.fail(`The browser shows no small window: ${e instanceof Error ? e.message : e}`);
    }
  }

  async motion() {
    const on = button("motion").ariaPressed !== "true";
    try {
      await this.stage.looking.motion(on);
      button("motion").ariaPressed = String(on);
    } catch (e) {
      this.fail(e instanceof Error ? e.message : String(e));
    }
  }

  /** One choice for all panes: by height, since their ladders have about the same. */
  choose() {
    const height = Number(element("quality", HTMLSelectElement).value);
    for (const { hls } of this.stage.panes) {
      if (!hls) continue;
      const fit = hls.levels.findLastIndex((l) => l.height <= height); // hls.js sorts them, smallest first
      hls.nextLevel = height ? Math.max(0, fit) : -1;
    }
  }

  /** @param {KeyboardEvent} e */
  key(e) {
    const inField = e.target instanceof HTMLInputElement || e.target instanceof HTMLSelectElement;
    if (e.ctrlKey || e.metaKey || e.altKey || inField || document.querySelector("dialog[open]")) return;
    const onButton = e.target instanceof HTMLButtonElement;
    const { sync, looking } = this.stage;
    const step = (/** @type {number} */ s) => sync.seek(Math.max(0, (this.video?.currentTime ?? 0) + s));
    switch (e.key) {
      case " ":
        if (onButton) return; // it presses the button
        this.toggle();
        break;
      case "k": this.toggle(); break;
      case "m": this.mute(); break;
      case "i": this.statistics(); break;
      case "<": this.faster(-1); break;
      case ">": this.faster(1); break;
      case "c": this.captions.toggle(); break;
      case "?": element("keys", HTMLDialogElement).showModal(); break;
      case "f": void this.fullscreen(); break;
      case "d": this.difference(); break;
      case "q": if (!button("curves").hidden) this.curves(); break;
      case "j": case "PageDown": step(-SKIP); break;
      case "l": case "PageUp": step(SKIP); break;
      case ",": case ".":
        sync.pause();
        step((e.key === "." ? 1 : -1) * this.frame);
        break;
      case "1": case "2": case "3": case "4": case "5": case "6": case "7": case "8": case "9": {
        const { video } = this; // 0 looks ahead
        if (!video?.seekable.length) return;
        const start = video.seekable.start(0);
        sync.seek(start + ((video.seekable.end(video.seekable.length - 1) - start) * Number(e.key)) / 10);
        break;
      }
      default: if (!looking.key(e.key)) return;
    }
    e.preventDefault();
  }

  /** Shows the state that things are in. */
  update() {
    const { video, stage } = this;
    if (!video) return;
    const pane = stage.sync.leader;
    const wanted = stage.sync.wanted && !stage.sync.blocked;
    if (wanted && !video.ended) face(button("play"), "pause", "Pause");
    else face(button("play"), "play", "Play");
    button("start").hidden = wanted || video.readyState === 0 || (video.currentTime > 0 && video.played.length > 0);
    if (video.muted || video.volume === 0) face(button("mute"), "mute", "Sound on");
    else face(button("mute"), "loud", "Sound off");
    this.live();
    this.loudness();
    this.captions.update();
    this.headset.update();
    button("pip").hidden = !document.pictureInPictureEnabled || this.stage.panes.length !== 1 || this.stage.panes[0]?.stream.projection !== "flat";
    this.around();
    button("sound").hidden = !video.muted || !wanted || this.hushed;
    const begun = video.played.length > 0 || stage.sync.wanted;
    if (begun && (stage.view.plain ? video.readyState > 1 : stage.panes.some((p) => p.frames.length > 0))) element("poster", HTMLImageElement).hidden = true;
    element("speed", HTMLSelectElement).hidden = pane?.live ?? false;
    element("network", HTMLElement).hidden = !this.stage.panes.some((p) => p.lost);
    button("difference").hidden = !stage.comparable;
    button("difference").ariaPressed = String(stage.difference);
    element("gainLabel", HTMLElement).hidden = !stage.difference;
    const { seekable } = video;
    if (seekable.length > 0) {
      const seek = range("seek");
      seek.min = String(seekable.start(0));
      seek.max = String(seekable.end(seekable.length - 1));
      if (document.activeElement !== seek || !seek.matches(":active")) seek.value = String(video.currentTime);
      seek.ariaValueText = clock(video.currentTime);
    }
    const end = Number.isFinite(video.duration) && !pane?.live ? ` / ${clock(video.duration)}` : "";
    element("clock", HTMLOutputElement).textContent = clock(video.currentTime) + end;
    this.offer();
  }

  /** The menu of qualities: those of the first pane. */
  offer() {
    const heights = [...new Set(this.stage.sync.leader?.hls?.levels.map((l) => l.height) ?? [])].sort((a, b) => b - a);
    const levels = heights.join();
    if (levels === this.levels) return;
    this.levels = levels;
    element("quality", HTMLSelectElement).replaceChildren(new Option("automatic", "0"), ...heights.map((h) => new Option(`${h}p`, String(h))));
    const { height } = kept(); // the last time
    if (!height || !heights.includes(height)) return;
    element("quality", HTMLSelectElement).value = String(height);
    this.choose();
  }
}

/** @param {number} s */
export function clock(s) {
  if (!Number.isFinite(s)) return "–";
  const [h, m, sec] = [Math.floor(s / 3600), Math.floor(s / 60) % 60, Math.floor(s) % 60];
  return (h ? `${h}:${String(m).padStart(2, "0")}` : String(m)) + ":" + String(sec).padStart(2, "0");
}
