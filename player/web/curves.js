// Draws what quality.json measured: rate against quality, a curve a ladder.

/**
 * @typedef {object} Rendition
 * @property {string} name
 * @property {number} width
 * @property {number} height
 * @property {number} bitrate - bit/s
 * @property {number} ws_psnr_db
 * @property {number} viewport_psnr_db
 */

/** @typedef {{percent: number, why_not?: string}} Rate */

/**
 * @typedef {object} Quality
 * @property {{name: string, projection: string, renditions: Rendition[], bd_rate?: {ws_psnr: Rate, viewport_psnr: Rate}}[]} ladders
 * @property {string} [anchor]
 * @property {number} frames
 */

const COLOURS = ["#4ea1ff", "#ffb347", "#7ddf64", "#ff6f91", "#c9a0ff"];
const [W, H, LEFT, BOTTOM] = [520, 280, 46, 36];

/**
 * @param {HTMLElement} place
 * @param {Quality} quality
 */
export function draw(place, quality) {
  const charts = /** @type {const} */ ([["viewport_psnr_db", "PSNR of views, dB"], ["ws_psnr_db", "sphere-weighted PSNR, dB"]]);
  place.replaceChildren(...charts.map(([key, label]) => chart(quality, key, label)), table(quality));
}

/**
 * @param {Quality} quality
 * @param {"ws_psnr_db" | "viewport_psnr_db"} key
 * @param {string} label
 */
function chart({ ladders }, key, label) {
  const points = ladders.flatMap((l) => l.renditions);
  const rates = points.map((p) => Math.log2(p.bitrate / 1e6));
  const [from, to] = [Math.floor(Math.min(...rates)), Math.ceil(Math.max(...rates))];
  const [low, high] = [Math.floor(Math.min(...points.map((p) => p[key]))), Math.ceil(Math.max(...points.map((p) => p[key])))];
  const x = (/** @type {number} */ bps) => LEFT + ((Math.log2(bps / 1e6) - from) / Math.max(1, to - from)) * (W - LEFT - 12);
  const y = (/** @type {number} */ db) => H - BOTTOM - ((db - low) / Math.max(1, high - low)) * (H - BOTTOM - 12);
  const svg = make("svg", { viewBox: `0 0 ${W} ${H}`, role: "img", "aria-label": `Rate against ${label}` });
  for (let k = from; k <= to; k++) {
    svg.append(make("line", { x1: x(1e6 * 2 ** k), x2: x(1e6 * 2 ** k), y1: 12, y2: H - BOTTOM, class: "grid" }));
    svg.append(text(x(1e6 * 2 ** k), H - BOTTOM + 14, k < 0 ? `${1000 * 2 ** k}k` : `${2 ** k}M`, "middle"));
  }
  const step = Math.max(1, Math.ceil((high - low) / 6));
  for (let db = low; db <= high; db += step) {
    svg.append(make("line", { x1: LEFT, x2: W - 12, y1: y(db), y2: y(db), class: "grid" }));
    svg.append(text(LEFT - 6, y(db) + 4, String(db), "end"));
  }
  svg.append(text(LEFT + 4, 24, label, "start"), text(W - 12, H - 6, "bit/s", "end"));
  ladders.forEach((l, i) => {
    const stroke = COLOURS[i % COLOURS.length] ?? "";
    const sorted = [...l.renditions].sort((a, b) => a.bitrate - b.bitrate);
    svg.append(make("polyline", { points: sorted.map((p) => `${x(p.bitrate)},${y(p[key])}`).join(" "), fill: "none", stroke, "stroke-width": 2 }));
    for (const p of sorted) {
      const dot = make("circle", { cx: x(p.bitrate), cy: y(p[key]), r: 4, fill: stroke });
      const title = make("title", {});
      title.textContent = `${l.name} ${p.width}×${p.height}: ${Math.round(p.bitrate / 1000)} kbit/s, ${p[key].toFixed(2)} dB`;
      dot.append(title);
      svg.append(dot);
    }
  });
  return svg;
}

/** @param {Quality} quality */
function table({ ladders, anchor, frames }) {
  const div = document.createElement("div");
  const rows = ladders.map((l, i) => {
    const rate = (/** @type {Rate | undefined} */ r) => (!r ? "–" : r.why_not ?? `${r.percent > 0 ? "+" : ""}${r.percent.toFixed(1)} %`);
    const row = document.createElement("tr");
    const name = document.createElement("th");
    name.scope = "row";
    name.style.color = COLOURS[i % COLOURS.length] ?? "";
    name.textContent = l.name;
    const cells = l.name === anchor ? ["what others are held against", ""] : [rate(l.bd_rate?.viewport_psnr), rate(l.bd_rate?.ws_psnr)];
    row.append(name, ...cells.map((c) => Object.assign(document.createElement("td"), { textContent: c })));
    return row;
  });
  const t = document.createElement("table");
  const head = t.createTHead().insertRow();
  for (const h of ["ladder", "bits at equal quality of views (BD-rate)", "bits at equal sphere-weighted quality"]) {
    head.append(Object.assign(document.createElement("th"), { textContent: h, scope: "col" }));
  }
  const body = t.createTBody();
  body.append(...rows);
  const note = Object.assign(document.createElement("p"), { textContent: `Measured on ${frames} frames of the recording.` });
  div.append(t, note);
  return div;
}

/**
 * @param {string} name
 * @param {Record<string, string | number>} attributes
 */
function make(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  return element;
}

/** @param {number} x @param {number} y @param {string} words @param {string} anchor */
function text(x, y, words, anchor) {
  const element = make("text", { x, y, "text-anchor": anchor });
  element.textContent = words;
  return element;
}
