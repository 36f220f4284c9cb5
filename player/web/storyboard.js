// The pictures above the seek bar: what a seek to that place would show.

/**
 * One picture: part of a sheet.
 * @typedef {object} Cue
 * @property {number} from - s
 * @property {string} sheet - URL
 * @property {number} x - pixels
 * @property {number} y
 * @property {number} width
 * @property {number} height
 */

const CUE = /^([\d:.]+) --> [\d:.]+.*\r?\n(\S+)#xywh=(\d+),(\d+),(\d+),(\d+)$/gm;

/**
 * @param {string} text - WebVTT thumbnails
 * @param {string} url - where they are from
 * @returns {Cue[]}
 */
export function parse(text, url) {
  return [...text.matchAll(CUE)].map(([, from = "", sheet = "", ...box]) => {
    const [x = 0, y = 0, width = 0, height = 0] = box.map(Number);
    return { from: from.split(":").reduce((sum, part) => 60 * sum + Number(part), 0), sheet: new URL(sheet, url).href, x, y, width, height };
  });
}

/**
 * Shows the pictures while somebody points at the seek bar, or drags it.
 * @param {Cue[]} cues
 * @param {HTMLInputElement} seek
 * @param {HTMLElement} box - above the bar
 * @param {(seconds: number) => string} clock
 * @returns {() => void} to be called when there are others: somebody may be pointing
 */
export function attach(cues, seek, box, clock) {
  const picture = document.createElement("div");
  const time = document.createElement("span");
  box.replaceChildren(picture, time);
  let again = () => {}; // shows what is pointed at
  const hide = () => {
    again = () => {};
    box.hidden = true;
  };
  const show = (/** @type {number} */ at) => {
    const cue = cues.findLast((c) => c.from <= at) ?? cues[0];
    if (!cue) return;
    Object.assign(picture.style, {
      width: `${cue.width}px`, height: `${cue.height}px`,
      backgroundImage: `url("${cue.sheet}")`, backgroundPosition: `-${cue.x}px -${cue.y}px`,
    });
    time.textContent = clock(at);
    box.hidden = false;
    const bar = seek.getBoundingClientRect();
    const share = (at - Number(seek.min)) / (Number(seek.max) - Number(seek.min) || 1);
    const left = bar.left + share * bar.width - box.offsetWidth / 2;
    box.style.left = `${Math.max(4, Math.min(left, innerWidth - box.offsetWidth - 4))}px`;
    box.style.bottom = `${innerHeight - bar.top + 8}px`;
  };
  seek.addEventListener("pointermove", (e) => {
    again = () => {
      const bar = seek.getBoundingClientRect();
      const share = Math.max(0, Math.min(1, (e.clientX - bar.left) / bar.width));
      show(Number(seek.min) + share * (Number(seek.max) - Number(seek.min)));
    };
    again();
  });
  seek.addEventListener("input", () => {
    again = () => show(Number(seek.value));
    again();
  });
  for (const end of ["pointerleave", "pointercancel", "change", "blur"]) seek.addEventListener(end, hide);
  return () => again();
}
