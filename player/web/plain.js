// Stands in for the view where the browser has no WebGL: videos are shown as they are, a sphere as it is stored.

/** @import { View } from "./view.js" */

/**
 * @param {HTMLCanvasElement} canvas
 * @returns {View}
 */
export function plain(canvas) {
  canvas.hidden = true;
  const view = {
    canvas,
    plain: true,
    gl: { isContextLost: () => true, isTexture: () => false, deleteTexture() {} }, // so no frame is ever taken of a video
    restored() {},
    texture() {},
    upload() {},
    clear() {},
    draw() {},
    drawEye() {},
  };
  return /** @type {View} */ (/** @type {unknown} */ (view));
}
