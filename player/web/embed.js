// What a page that embeds the player in a frame can ask of it, by postMessage. embed.html shows it.
//
//   frame.contentWindow.postMessage({ afterlive: 1, do: "listen" }, origin)      the state from now on, whenever it changes
//   {do: "play"}   {do: "pause"}   {do: "mute", to: true}   {do: "seek", to: 90}   {do: "rate", to: 1.5}
//   {do: "look", yaw: 90, pitch: -10, fov: 60}
//
// The state: {afterlive: 1, state: {time, duration, live, paused, ended, muted, rate, yaw, pitch, fov}}; times in seconds, angles in degrees.

/** @import { Controls } from "./controls.js" */

const STEP = 250; // ms at least between two states

/** @param {Controls} controls */
export function listen(controls) {
  /** @type {Map<MessageEventSource, string>} who listens, and their origin */
  const listeners = new Map();
  let last = "";
  const tell = () => {
    const said = JSON.stringify(state(controls));
    if (said === last) return;
    last = said;
    for (const to of listeners.keys()) if ("closed" in to && to.closed) listeners.delete(to);
    for (const [to, origin] of listeners) to.postMessage({ afterlive: 1, state: JSON.parse(said) }, { targetOrigin: origin });
  };
  addEventListener("message", (e) => {
    const wish = /** @type {unknown} */ (e.data);
    if (!isWish(wish) || !e.source) return;
    if (wish.do === "listen") {
      if (e.origin !== "null") listeners.set(e.source, e.origin); // else it has to ask each time: nobody knows what it shows next
      e.source.postMessage({ afterlive: 1, state: state(controls) }, { targetOrigin: e.origin === "null" ? "*" : e.origin });
      return;
    }
    obey(controls, wish);
  });
  setInterval(() => listeners.size > 0 && tell(), STEP);
}

/** @typedef {{afterlive: 1, do: string, to?: unknown, yaw?: unknown, pitch?: unknown, fov?: unknown}} Wish */

/** @param {unknown} x @returns {x is Wish} */
function isWish(x) {
  return typeof x === "object" && x !== null && "afterlive" in x && x.afterlive === 1 && "do" in x && typeof x.do === "string";
}

/** @param {Controls} controls @param {Wish} wish */
function obey(controls, wish) {
  const { sync, looking } = controls.stage;
  const number = typeof wish.to === "number" && Number.isFinite(wish.to) ? wish.to : undefined;
  if (wish.do === "play") sync.play();
  else if (wish.do === "pause") sync.pause();
  else if (wish.do === "mute") controls.mute(wish.to !== false);
  else if (wish.do === "seek" && number !== undefined) sync.seek(Math.max(0, number));
  else if (wish.do === "rate" && number !== undefined && number >= 0.25 && number <= 4) controls.speed(number);
  else if (wish.do === "look") {
    /** @type {{yaw?: number, pitch?: number, fov?: number}} */
    const to = {};
    for (const key of /** @type {const} */ (["yaw", "pitch", "fov"])) {
      const x = wish[key];
      if (typeof x === "number" && Number.isFinite(x)) to[key] = x;
    }
    looking.set(to);
  }
  controls.update();
}

/** @param {Controls} controls */
function state({ stage, video }) {
  const { yaw, pitch, fov } = stage.looking.look;
  const round = (/** @type {number} */ x) => Math.round(x * 1000) / 1000;
  return {
    time: round(video?.currentTime ?? 0), duration: video && Number.isFinite(video.duration) ? round(video.duration) : 0, live: stage.sync.leader?.live ?? false,
    paused: !stage.sync.wanted || stage.sync.blocked, ended: video?.ended ?? false, muted: video?.muted ?? true, rate: stage.sync.rate,
    yaw: round(yaw), pitch: round(pitch), fov: round(fov),
  };
}
