// What the page's address asks for.
//
//   ?asset=live/talk                          a published recording, its first ladder; or the latest of a stream
//   ?asset=live/talk&ladder=cubemap           another one
//   ?asset=live/talk&compare=all              ladders side by side; or their names: compare=equirectangular,eac
//   ?src=URL&projection=equirectangular       any HLS URL; &order=, &rotation=, &pad= say how a cube lies
//   ?src=URL&projection=…&src=URL&projection=…   several, side by side; also beside an asset: what follows a src is said of it
//   &t=0 also plays an event from its start, else it begins where it is live
//   &yaw=90&pitch=-10&fov=60&t=30             where to look (degrees, up is positive), and when (s)
//   &autoplay=0                               it waits for its button, behind the poster; &muted=0: it tries to begin with sound
//   &controls=0                               no bar: for pages that have controls of their own (embed.js)

import { isProjection, PROJECTIONS } from "./projection.js";

/** @import { Stream } from "./pane.js" */
/** @import { Layout, Projection } from "./projection.js" */

/**
 * One multivariant playlist of an asset, as asset.json has it.
 * @typedef {object} Ladder
 * @property {string} name
 * @property {Projection} [projection] - none: sound only
 * @property {Layout} [layout]
 * @property {string} master
 * @property {{width: number, height: number}[]} [renditions]
 */

/** @typedef {{job: string, title?: string, recording: string, live?: boolean, waiting?: string, abandoned?: boolean, duration_s: number, frame_rate?: number, ladders: Ladder[], quality?: string, poster?: string, storyboard?: string}} Asset */

/**
 * @typedef {object} Request
 * @property {string} [asset] - its name
 * @property {string} [assetURL]
 * @property {string[]} ladders - names; empty: the first one
 * @property {boolean} all - ladders
 * @property {Stream[]} streams
 * @property {{yaw?: number, pitch?: number, fov?: number}} look
 * @property {number} [time]
 * @property {boolean} autoplay
 * @property {boolean} muted
 * @property {boolean} controls
 */

/**
 * @param {URLSearchParams} query
 * @param {string} page - the page's own URL, to which others are relative
 * @returns {Request}
 */
export function parse(query, page) {
  const asset = query.get("asset") ?? undefined;
  const compare = query.get("compare") ?? "";
  /** @type {(Stream & {layout: Layout})[]} */
  const streams = [];
  for (const [key, value] of query) {
    if (key === "src") streams.push({ title: "flat", url: new URL(value, page).href, projection: "flat", layout: {} });
    const stream = streams.at(-1);
    if (!stream) continue;
    if (key === "projection") {
      if (!isProjection(value)) throw new Error(`There is no projection “${value}”. There are ${PROJECTIONS.join(", ")}.`);
      stream.title = stream.projection = value;
    }
    if (key === "order" || key === "rotation") stream.layout[key] = value;
    if (key === "pad") stream.layout.pad = number("pad", value);
  }
  /** @type {Request} */
  const request = { streams, look: {}, all: compare === "all", ladders: [], autoplay: query.get("autoplay") !== "0", muted: query.get("muted") !== "0", controls: query.get("controls") !== "0" };
  if (asset) {
    request.asset = asset;
    const path = asset.endsWith(".json") ? asset : `../vod/${asset.split("/").map(encodeURIComponent).join("/")}/asset.json`;
    request.assetURL = new URL(path, page).href;
  }
  const named = compare && !request.all ? compare : query.get("ladder");
  if (named) request.ladders = named.split(",");
  for (const key of /** @type {const} */ (["yaw", "pitch", "fov"])) {
    const text = query.get(key);
    if (text) request.look[key] = number(key, text);
  }
  const t = query.get("t");
  if (t) request.time = seconds(t);
  return request;
}

/** @param {string} name @param {string} text */
function number(name, text) {
  const x = Number(text);
  if (!Number.isFinite(x)) throw new Error(`${name}=${text} in the address is no number.`);
  return x;
}

/**
 * A moment as people write it: 90, 1:30, 1:02:03, 1m30s. What is none of these is the beginning.
 * @param {string} text
 */
export function seconds(text) {
  const clock = text.match(/^(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)$/), parts = text.match(/^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?$/);
  const [, h = 0, m = 0, s = 0] = (clock ?? parts ?? []).map((x) => Number(x ?? 0));
  return 3600 * h + 60 * m + s;
}

/** There is no such recording, for now. */
export class Missing extends Error {}

/**
 * Reads an asset; what it throws tells the viewer what to do.
 * @param {string} url
 * @param {string} name
 * @returns {Promise<Asset>}
 */
export async function load(url, name) {
  /** @type {Response} */
  let answer;
  try {
    answer = await fetch(url);
  } catch {
    throw new Error(`${url} cannot be read: the server is down, or it doesn't let this page read it (CORS: it must send Access-Control-Allow-Origin).`);
  }
  if (answer.status === 404 || answer.status === 403) {
    throw new Missing(`There is no recording “${name}”, or not yet. Should it come, it will be played here.`);
  }
  if (!answer.ok) throw new Error(`${url} answers with HTTP ${answer.status}.`);
  return answer.json();
}

/**
 * Finds an asset or, where there is none but a stream of that name, the stream's latest.
 * @param {string} url - of the asset
 * @param {string} name
 * @returns {Promise<{asset: Asset, url: string}>} and where it is
 */
export async function find(url, name) {
  try {
    return { asset: await load(url, name), url };
  } catch (e) {
    if (!(e instanceof Missing)) throw e;
    const latest = new URL("latest.json", url).href, answer = await fetch(latest).catch(() => undefined);
    if (!answer?.ok) throw e;
    const found = new URL((await answer.json()).pointer, latest).href;
    return { asset: await load(found, name), url: found };
  }
}

/**
 * The streams of an asset's ladders that were asked for.
 * @param {Asset} asset
 * @param {string} url - of the asset
 * @param {Request} request
 * @returns {Stream[]}
 */
export function streams(asset, url, { all, ladders, time }) {
  const seen = asset.ladders.filter((l) => l.projection);
  if (seen.length === 0) throw new Error("This recording has no picture, only sound.");
  const names = all ? seen.map((l) => l.name) : ladders;
  const chosen = names.length === 0 ? seen.slice(0, 1) : names.map((name) => {
    const found = seen.find((l) => l.name === name);
    if (!found) throw new Error(`This recording has no ladder “${name}”. It has ${seen.map((l) => l.name).join(", ")}.`);
    return found;
  });
  return chosen.map((l) => ({
    title: l.name,
    url: new URL(l.master, url).href,
    projection: l.projection ?? "flat",
    layout: l.layout ?? {},
    width: l.renditions?.[0]?.width,
    start: time,
  }));
}
