// The signs on buttons.

// Drawn here, since not every system's fonts have these signs.
const ICONS = {
  play: "M3 1l12 7-12 7z",
  pause: "M3 1h4v14H3zM9 1h4v14H9z",
  loud: "M1 5h3l4-4v14l-4-4H1zM10 5q2 3 0 6l1 1q3-4 0-8zM12 3q4 5 0 10l1 1q5-6 0-12z",
  mute: "M1 5h3l4-4v14l-4-4H1zM10 6l1-1 2 2 2-2 1 1-2 2 2 2-1 1-2-2-2 2-1-1 2-2z",
  full: "M1 1h5v2H3v3H1zM10 1h5v5h-2V3h-3zM1 10h2v3h3v2H1zM13 10h2v5h-5v-2h3z",
};

/**
 * @param {HTMLButtonElement} b
 * @param {keyof typeof ICONS} icon
 * @param {string} name - of what it does, for those who cannot see it
 */
export function face(b, icon, name) {
  if (b.dataset.icon === icon) return;
  b.dataset.icon = icon;
  b.ariaLabel = name;
  b.innerHTML = `<svg viewBox="0 0 16 16" aria-hidden="true"><path d="${ICONS[icon]}"/></svg>`;
}
