// The page that shows how to embed the player.

const find = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
const frame = /** @type {HTMLIFrameElement} */ (find("frame"));
const here = new URL("index.html", location.href).href;

find("snippet").textContent = `<iframe src="${here}?asset=live/talk" width="640" height="360" style="border: 0"
  allow="autoplay; fullscreen; gyroscope; accelerometer; xr-spatial-tracking" allowfullscreen></iframe>`;

/** @param {string} asset */
function show(asset) {
  frame.src = here + "?" + new URLSearchParams({ asset });
  frame.hidden = find("buttons").hidden = false;
}

find("try").addEventListener("submit", (e) => {
  e.preventDefault();
  const { value } = /** @type {HTMLInputElement} */ (find("try").querySelector("input"));
  if (value) show(value);
});

const asset = new URLSearchParams(location.search).get("asset");
if (asset) show(asset);

const send = (/** @type {Record<string, unknown>} */ wish) => frame.contentWindow?.postMessage({ afterlive: 1, ...wish }, location.origin);
frame.addEventListener("load", () => {
  const asking = setInterval(() => send({ do: "listen" }), 500); // until it answers
  addEventListener("message", () => clearInterval(asking), { once: true });
});
for (const b of document.querySelectorAll("button[data-do]")) {
  if (!(b instanceof HTMLButtonElement)) continue;
  const { do: what, to, yaw } = b.dataset;
  b.addEventListener("click", () => send({ do: what, ...(to !== undefined && { to: JSON.parse(to) }), ...(yaw !== undefined && { yaw: Number(yaw) }) }));
}
addEventListener("message", (e) => {
  if (e.origin !== location.origin || e.data?.afterlive !== 1) return;
  const { time, duration, paused, yaw } = e.data.state;
  find("state").textContent = `${paused ? "paused" : "playing"} at ${time.toFixed(1)} of ${duration.toFixed(1)} s, looking at ${yaw.toFixed(0)}°`;
});
