// What becomes of an event: its asset.json says so while it is live, and is looked at now and then.

import { clock } from "./controls.js";
import * as query from "./query.js";

/** @import { Asset } from "./query.js" */

const LOOK = 5000; // ms between looks
const READ = 15_000; // ms that a viewer is given to read what doesn't change any more

/**
 * Tells of an event until it has ended.
 * @param {Asset} asset
 * @param {string} url - of it
 * @param {HTMLElement} said - where a viewer reads it
 * @param {(now: Asset) => Promise<void>} looked - at what it is now
 */
export async function follow(asset, url, said, looked) {
  let now = asset;
  const tell = () => {
    const text = state(now, asset.live ?? false, Date.now());
    said.hidden = text === "";
    if (said.textContent !== text) said.textContent = text; // a screen reader reads it again
  };
  const ticking = setInterval(tell, 1000);
  for (;;) {
    tell();
    await looked(now).catch(() => {}); // there are no pictures, then
    if (!now.live) break;
    await new Promise((done) => setTimeout(done, LOOK));
    now = await query.load(url, "").catch(() => now);
  }
  clearInterval(ticking);
  setTimeout(() => (said.hidden = true), READ);
}

/**
 * What a viewer has to know of an event; nothing while all is well.
 * @param {Asset} asset
 * @param {boolean} wasLive - when the page was opened
 * @param {number} time - ms
 */
export function state(asset, wasLive, time) {
  if (asset.live && asset.waiting) {
    const left = (Date.parse(asset.waiting) - time) / 1000;
    return left > 0 ? `The stream has been interrupted. It may go on within ${clock(left)}.` : "The stream has been interrupted, and is about to end.";
  }
  if (!asset.live && asset.abandoned) return "The stream was cut off: its origin was lost.";
  return !asset.live && wasLive ? "The event has ended. You can watch all of it." : "";
}
