// What the viewer chose, kept in the browser.

const STORED = "afterlive-player";

/** What the viewer chose before, in this browser. @returns {{volume?: number, height?: number}} */
export function kept() {
  try {
    return JSON.parse(localStorage.getItem(STORED) ?? "{}");
  } catch {
    return {}; // the browser keeps nothing
  }
}

/** @param {{volume?: number, height?: number}} choice */
export function keep(choice) {
  try {
    localStorage.setItem(STORED, JSON.stringify({ ...kept(), ...choice }));
  } catch {
    // it is chosen all the same
  }
}
