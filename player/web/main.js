// The page: reads its address (query.js), opens panes (pane.js) on a stage (stage.js).

import { Bar } from "./bar.js";
import { Controls, clock, element } from "./controls.js";
import { draw } from "./curves.js";
import { listen } from "./embed.js";
import { follow } from "./event.js";
import { Looking } from "./look.js";
import { Pane } from "./pane.js";
import { plain } from "./plain.js";
import * as query from "./query.js";
import { Stage } from "./stage.js";
import * as storyboard from "./storyboard.js";
import { View } from "./view.js";

/** @import { Asset, Request } from "./query.js" */
/** @import { Stream } from "./pane.js" */

const AGAIN = 5000; // ms until it is looked again for a recording that isn't there

/** @param {string} message */
function fail(message) {
  const box = element("error", HTMLElement);
  box.textContent = message;
  box.hidden = false;
}

async function start() {
  const request = query.parse(new URLSearchParams(location.search), location.href);
  if (!request.assetURL && request.streams.length === 0) {
    element("open", HTMLElement).hidden = false;
    return;
  }
  const found = request.assetURL ? await query.find(request.assetURL, request.asset ?? "") : undefined;
  const asset = found?.asset;
  request.assetURL = found?.url;
  element("error", HTMLElement).hidden = true; // of when it wasn't there
  element("player", HTMLElement).hidden = false;
  const canvas = element("canvas", HTMLCanvasElement);
  /** @type {Controls | undefined} */
  let controls;
  /** @type {Stage | undefined} */
  let stage;
  const changed = () => {
    if (stage) stage.dirty = true;
    controls?.update();
  };
  const looking = new Looking(element("stage", HTMLElement), changed);
  const view = drawing(canvas);
  stage = new Stage(view, looking, element("captions", HTMLElement));
  controls = new Controls(stage, fail);
  const player = element("player", HTMLElement);
  player.classList.toggle("bare", !request.controls);
  void new Bar(player, stage);
  listen(controls);
  looking.home = { ...looking.look, ...request.look };
  looking.set(request.look);

  const open = (/** @type {Stream} */ stream) => new Pane(stream, /** @type {Stage} */ (stage).view, { changed, failed: fail });
  const fromAsset = asset && request.assetURL ? query.streams(asset, request.assetURL, request) : [];
  stage.show([...fromAsset, ...request.streams].map(open));
  if (request.time !== undefined) stage.sync.seek(request.time);
  if (asset) {
    controls.frameRate = asset.frame_rate ?? 0;
    document.title = `${asset.title || request.asset} – afterlive`;
    offerLadders(asset, request, stage, open);
    void offerQuality(asset, request.assetURL ?? "");
    void follow(asset, request.assetURL ?? "", element("event", HTMLElement), offerStoryboard(asset, request.assetURL ?? ""));
  }
  // For people who debug, and for tests.
  Object.assign(window, { player: { stage, looking, controls } });
  if (view.plain && stage.panes.some((p) => p.stream.projection !== "flat")) fail("This browser has no WebGL 2: the sphere is shown as it is stored, and cannot be looked around in.");
  for (const p of stage.panes.slice(0, 1)) p.video.muted = request.muted;
  if (request.autoplay) stage.sync.play();
  changed();
}

/** What draws: WebGL, or where there is none, the browser itself. @param {HTMLCanvasElement} canvas */
function drawing(canvas) {
  try {
    return new View(canvas);
  } catch {
    return plain(canvas);
  }
}

/**
 * A button for every ladder: those that are pressed are side by side.
 * @param {Asset} asset
 * @param {Request} request
 * @param {Stage} stage
 * @param {(s: Stream) => Pane} open
 */
function offerLadders(asset, request, stage, open) {
  const all = query.streams(asset, request.assetURL ?? "", { ...request, all: true, time: undefined });
  if (all.length < 2) return;
  element("ladders", HTMLElement).replaceChildren(...all.map((stream) => {
    const b = Object.assign(document.createElement("button"), { type: "button", textContent: stream.title });
    b.ariaPressed = String(stage.panes.some((p) => p.stream.url === stream.url));
    b.onclick = () => {
      const has = stage.panes.find((p) => p.stream.url === stream.url);
      if (has && stage.panes.length === 1) return; // something must be on
      const pane = has ?? open(stream);
      const time = stage.panes[0]?.video.currentTime ?? 0;
      stage.show(has ? stage.panes.filter((p) => p !== has) : [...stage.panes, pane]);
      if (!has) pane.video.currentTime = time;
      b.ariaPressed = String(!has);
    };
    return b;
  }));
}

/**
 * The curves, where the recording's quality was measured. It is measured after publishing, so it may come later.
 * @param {Asset} asset
 * @param {string} url
 */
async function offerQuality(asset, url) {
  if (!asset.quality) return;
  const answer = await fetch(new URL(asset.quality, url)).catch(() => undefined);
  if (!answer?.ok) return;
  draw(element("measured", HTMLElement), await answer.json());
  element("curves", HTMLButtonElement).hidden = false;
}

/**
 * Pictures above the seek bar, which get more while an event is live; and one for the system's own media controls.
 * @param {Asset} asset
 * @param {string} url
 * @returns {(now: Asset) => Promise<void>} takes in those that there are now
 */
function offerStoryboard(asset, url) {
  if (asset.poster) {
    const poster = element("poster", HTMLImageElement);
    poster.src = new URL(asset.poster, url).href;
    poster.hidden = false; // until there is a frame
  }
  if (asset.poster && "mediaSession" in navigator) {
    navigator.mediaSession.metadata = new MediaMetadata({ title: document.title, artwork: [{ src: new URL(asset.poster, url).href, type: "image/jpeg" }] });
  }
  const first = asset.storyboard;
  if (!first) return async () => {};
  /** @type {import("./storyboard.js").Cue[]} */
  const cues = [];
  const came = storyboard.attach(cues, element("seek", HTMLInputElement), element("preview", HTMLElement), clock);
  return async (now) => {
    const track = new URL(now.storyboard ?? first, url).href;
    const answer = await fetch(track).catch(() => undefined);
    if (!answer?.ok) return;
    cues.splice(0, cues.length, ...storyboard.parse(await answer.text(), track));
    came();
  };
}

/** Starts, as soon as there is what is asked for. */
async function begin() {
  try {
    await start();
  } catch (e) {
    fail(e instanceof Error ? e.message : String(e));
    if (e instanceof query.Missing) setTimeout(() => void begin(), AGAIN);
  }
}

void begin();
