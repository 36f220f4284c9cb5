// A pane is one stream: hls.js plays it into a video that nobody sees, and its last few
// frames are kept as textures, so that panes side by side can show the same moment.

import Hls from "hls.js";
import { dated } from "./dated.js";
import { geometry } from "./projection.js";

/** @import { Projection, Layout, Geometry } from "./projection.js" */
/** @import { View, Picture } from "./view.js" */

/**
 * What a pane plays.
 * @typedef {object} Stream
 * @property {string} title
 * @property {string} url - of a multivariant or media playlist
 * @property {Projection} projection
 * @property {Layout} layout
 * @property {number} [width] - of the largest rendition, where it is known beforehand
 * @property {number} [start] - s, where to begin; else at the start, and where an event is live
 */

/** A frame as shown: when, in seconds of the stream, and its texture. @typedef {{time: number, picture: Picture}} Frame */

const KEPT = 6; // frames a pane, when several are compared: under load, browsers leave out different ones
const MEMORY = 400e6; // bytes of textures that all panes together keep, as far as two frames a pane allow
const TOLD = 100; // complaints of hls.js that are kept: a live stream may go on with them for days

/**
 * How many frames each of so many panes keeps.
 * @param {number} panes
 * @param {number} width - of its picture
 * @param {number} height
 */
export function kept(panes, width, height) {
  if (panes < 2) return 1;
  return Math.max(2, Math.min(KEPT, Math.floor(MEMORY / (panes * width * height * 4))));
}

/** Loads playlists, and gives those of nginx-rtmp the times of day that it doesn't write. */
class DatedLoader extends Hls.DefaultConfig.loader {
  /**
   * @param {import("hls.js").LoaderContext} context
   * @param {import("hls.js").LoaderConfiguration} config
   * @param {import("hls.js").LoaderCallbacks<import("hls.js").LoaderContext>} callbacks
   */
  load(context, config, callbacks) {
    super.load(context, config, {
      ...callbacks,
      onSuccess: (response, ...rest) => {
        if (typeof response.data === "string") response.data = dated(response.data);
        callbacks.onSuccess(response, ...rest);
      },
    });
  }
}

const playlistLoader = /** @type {import("hls.js").HlsConfig["pLoader"]} */ (/** @type {unknown} */ (DatedLoader)); // it is one for any context

const RETRY = 2000; // ms between tries to load while the network is away
const RECOVERY = 10_000; // ms within which a second media error is one too many

export class Pane {
  /**
   * @param {Stream} stream
   * @param {View} view
   * @param {object} told
   * @param {() => void} told.changed - something to draw or to say anew
   * @param {(message: string) => void} told.failed - it will not play on
   */
  constructor(stream, view, { changed, failed }) {
    this.stream = stream;
    this.view = view;
    this.changed = changed;
    this.failed = (/** @type {string} */ message) => {
      this.dead = true;
      failed(message);
    };
    this.panes = 1; // that are shown together
    /** @type {Frame[]} newest last */
    this.frames = [];
    /** @type {Frame | undefined} what the stage draws */
    this.shown = undefined;
    this.live = false;
    this.wasLive = false; // a live stream that has ended still has a clock of its own
    this.dead = false; // it will not play on
    this.loaded = false; // something of it has come
    this.lost = false; // nothing can be loaded for now
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    this.retrying = undefined;
    /** @type {string[]} what hls.js complained about, also where it could go on */
    this.faults = [];
    this.bitrate = 0; // bit/s of the picture, as its last segments measured
    /** @type {Geometry} */
    this.geometry = geometry(stream.projection, stream.layout, stream.width ?? 3840);
    this.widestSeen = 0;
    this.video = document.createElement("video");
    this.video.muted = true;
    this.video.playsInline = true;
    this.video.crossOrigin = "anonymous";
    this.video.addEventListener("loadeddata", () => this.grab(this.video.currentTime));
    this.video.addEventListener("seeked", () => this.grab(this.video.currentTime));
    for (const event of ["play", "pause", "waiting", "playing", "ended", "timeupdate", "durationchange", "volumechange"]) {
      this.video.addEventListener(event, () => this.changed());
    }
    this.load();
    this.follow();
  }

  load() {
    if (!Hls.isSupported()) {
      // Safari on a phone plays HLS by itself.
      if (!this.video.canPlayType("application/vnd.apple.mpegurl")) {
        this.failed("This browser can play no HLS: it has no Media Source Extensions.");
        return;
      }
      this.video.src = this.stream.url;
      this.video.addEventListener("error", () => this.failed(`${this.stream.title}: ${this.video.error?.message || "it cannot be played"}`));
      return;
    }
    this.hls = new Hls({ backBufferLength: 30, maxBufferLength: 30, startPosition: this.stream.start ?? -1, pLoader: playlistLoader, fragLoadPolicy: soon("fragLoadPolicy"), playlistLoadPolicy: soon("playlistLoadPolicy") });
    const { hls } = this;
    let recovered = -Infinity; // when, in ms of the page
    addEventListener("online", this.again);
    hls.on(Hls.Events.FRAG_LOADED, () => {
      this.loaded = true;
      this.found();
    });
    hls.on(Hls.Events.LEVEL_LOADED, () => this.found());
    hls.on(Hls.Events.ERROR, (_, data) => {
      if (this.faults.push([data.type, data.details, data.reason ?? data.error?.message].filter(Boolean).join(": ")) > TOLD) this.faults.shift();
      if (!data.fatal) return;
      if (data.type === Hls.ErrorTypes.MEDIA_ERROR && performance.now() - recovered > RECOVERY) {
        recovered = performance.now();
        hls.recoverMediaError();
        return;
      }
      if (data.type === Hls.ErrorTypes.NETWORK_ERROR && this.loaded && !gone(data)) {
        this.lose();
        return;
      }
      this.failed(`${this.stream.title}: ${reason(data)}`);
      hls.stopLoad();
    });
    hls.on(Hls.Events.LEVEL_LOADED, (_, data) => {
      this.live = data.details.live;
      this.wasLive ||= this.live;
      this.changed();
    });
    hls.on(Hls.Events.MANIFEST_PARSED, () => {
      this.widest();
      this.changed();
    });
    /** @type {number[]} */
    const rates = [];
    hls.on(Hls.Events.FRAG_BUFFERED, (_, data) => {
      if (data.frag.type !== "main" || !data.frag.duration) return;
      rates.push((data.stats.total * 8) / data.frag.duration);
      if (rates.length > 5) rates.shift();
      this.bitrate = rates.reduce((a, b) => a + b, 0) / rates.length;
    });
    hls.loadSource(this.stream.url);
    hls.attachMedia(this.video);
  }

  /** The network, or the server, is away: what is buffered plays on, and loading is tried again until it works. */
  lose() {
    this.lost = true;
    this.changed();
    clearTimeout(this.retrying);
    this.retrying = setTimeout(this.again, RETRY);
  }

  again = () => {
    if (this.lost && !this.closed) this.hls?.startLoad();
  };

  /** Something has come: if the network was away, it is back. */
  found() {
    if (!this.lost) return;
    this.lost = false;
    this.changed();
  }

  /** The padding of a cube is known in pixels of the largest rendition. */
  widest() {
    const widths = this.hls?.levels.map((l) => l.width) ?? [];
    const width = this.stream.width ?? Math.max(0, ...widths);
    if (width > 0) this.geometryOf(width);
  }

  /** @param {number} width - of the largest rendition, as far as is known */
  geometryOf(width) {
    if (width === this.widestSeen) return;
    this.widestSeen = width;
    this.geometry = geometry(this.stream.projection, this.stream.layout, width);
  }

  /** After a lost context: all textures are gone. */
  regrab() {
    this.frames = [];
    this.shown = undefined;
    this.grab(this.video.currentTime);
  }

  /** Keeps every frame that is shown, from now on. */
  follow() {
    const { video } = this;
    if (!video.requestVideoFrameCallback) {
      const poll = () => {
        if (!video.paused && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA) this.grab(video.currentTime);
        if (!this.closed) requestAnimationFrame(poll);
      };
      poll();
      return;
    }
    /** @type {VideoFrameRequestCallback} */
    const shown = (_, { mediaTime }) => {
      if (this.closed) return;
      this.grab(mediaTime);
      video.requestVideoFrameCallback(shown);
    };
    video.requestVideoFrameCallback(shown);
  }

  /** @param {number} time - of the frame that the video shows */
  grab(time) {
    const { video, view, frames } = this;
    if (!video.videoWidth || view.gl.isContextLost()) return;
    const last = frames.at(-1);
    if (last && Math.abs(time - last.time) > 1) while (frames.length > 0) this.drop(); // it was sought elsewhere
    // Frames below the moment's resolution replace each other: two callbacks may tell of the same one.
    let frame = frames.length > 0 && last && Math.abs(time - last.time) < 0.002 ? frames.pop() : undefined;
    const keep = kept(this.panes, video.videoWidth, video.videoHeight);
    while (frames.length > keep) this.drop(); // its pictures have become larger
    if (!frame && frames.length >= keep) frame = frames.splice(frames.length > 1 && frames[0] === this.shown ? 1 : 0, 1)[0];
    if (!this.stream.width && !this.hls?.levels.some((l) => l.width)) this.geometryOf(Math.max(this.widestSeen, video.videoWidth));
    const texture = frame && view.gl.isTexture(frame.picture.texture) ? frame.picture.texture : view.texture(); // or it was lost with its context
    view.upload(texture, video);
    frames.push({ time, picture: { texture, width: video.videoWidth, height: video.videoHeight, geometry: this.geometry } });
    this.changed();
  }

  drop() {
    const frame = this.frames.shift();
    if (!frame) return;
    if (frame === this.shown) this.shown = undefined;
    this.view.gl.deleteTexture(frame.picture.texture);
  }

  /** @param {number} panes - that are shown together */
  compare(panes) {
    this.panes = panes;
    const { videoWidth, videoHeight } = this.video;
    while (this.frames.length > kept(panes, videoWidth || 1, videoHeight || 1)) this.drop();
  }

  /** Seconds that are buffered ahead. */
  get buffer() {
    const { buffered, currentTime } = this.video;
    for (let i = 0; i < buffered.length; i++) {
      if (buffered.start(i) <= currentTime + 0.1 && currentTime < buffered.end(i)) return buffered.end(i) - currentTime;
    }
    return 0;
  }

  close() {
    this.closed = true;
    removeEventListener("online", this.again);
    clearTimeout(this.retrying);
    this.hls?.destroy();
    this.video.remove();
    this.video.removeAttribute("src");
    this.video.load();
    while (this.frames.length) this.drop();
  }
}

/**
 * hls.js's policy for what is loaded, but tried again sooner: it waits up to 8 s, and a viewer shall not when the network is back.
 * @param {"fragLoadPolicy" | "playlistLoadPolicy"} policy
 */
function soon(policy) {
  const { default: theirs } = Hls.DefaultConfig[policy];
  return { default: { ...theirs, errorRetry: { maxNumRetry: 2, retryDelayMs: RETRY / 2, maxRetryDelayMs: RETRY } } };
}

/**
 * Whether a server has said that it hasn't got something, so that asking again is in vain.
 * @param {import("hls.js").ErrorData} data
 */
function gone(data) {
  const status = data.response?.code ?? 0;
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/**
 * What went wrong, and what to do, for people.
 * @param {import("hls.js").ErrorData} data
 */
function reason(data) {
  const status = data.response?.code;
  const url = data.url ?? data.frag?.url ?? "";
  if (data.type === Hls.ErrorTypes.NETWORK_ERROR) {
    if (status === 404 || status === 403) return `there is no stream at ${url} (HTTP ${status}). Has it ended, or is it not published yet?`;
    if (status) return `${url} answers with HTTP ${status}.`;
    return `${url} cannot be read: the server is down, or it doesn't let this page read it (CORS: it must send Access-Control-Allow-Origin).`;
  }
  if (data.details === Hls.ErrorDetails.MANIFEST_INCOMPATIBLE_CODECS_ERROR) return "this browser has no decoder for its codecs.";
  return `it cannot be played (${data.details}).`;
}
