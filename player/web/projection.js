// How each projection maps directions to the picture: what the shader needs to know, in numbers.

/** @typedef {"flat" | "equirectangular" | "cubemap" | "eac"} Projection */

/**
 * The layout of a cube's six faces, in the words of ffmpeg's v360, as asset.json has it.
 * @typedef {object} Layout
 * @property {string} [order] - which face lies in which cell of the 3x2 grid, row by row: letters of rludfb
 * @property {string} [rotation] - the quarter turns of each cell
 * @property {number} [pad] - in pixels of the largest rendition
 */

/**
 * @typedef {object} Geometry
 * @property {number} code - of the projection, in the shader
 * @property {Int32Array} cells - of the faces right, left, up, down, front, back: their cells, 0 to 5
 * @property {Int32Array} turns - and their quarter turns
 * @property {[number, number]} pad - as shares: cubemap, of a face's edge, both sides together; eac, of the picture's width and height
 */

export const PROJECTIONS = /** @type {const} */ (["flat", "equirectangular", "cubemap", "eac"]);

const FACES = "rludfb";

/** @type {Record<Projection, Required<Layout>>} */
const DEFAULTS = {
  flat: { order: FACES, rotation: "000000", pad: 0 },
  equirectangular: { order: FACES, rotation: "000000", pad: 0 },
  cubemap: { order: FACES, rotation: "000000", pad: 0 },
  eac: { order: "lfrdbu", rotation: "000313", pad: 2 },
};

/**
 * @param {Projection} projection
 * @param {Layout} layout
 * @param {number} width - of the largest rendition, in pixels: padding is made there, and scaled with it
 * @returns {Geometry}
 */
export function geometry(projection, layout, width) {
  const { order, rotation, pad } = { ...DEFAULTS[projection], ...layout };
  const cells = new Int32Array(6);
  const turns = new Int32Array(6);
  [...FACES].forEach((face, i) => {
    const cell = order.indexOf(face);
    if (cell < 0) throw new Error(`the face order “${order}” has no ${face}`);
    cells[i] = cell;
    turns[i] = Number(rotation[cell] ?? 0);
  });
  const height = (width * 2) / 3;
  return {
    code: PROJECTIONS.indexOf(projection),
    cells,
    turns,
    pad: projection === "cubemap" ? [pad / (width / 3), pad / (width / 3)] : [pad / width, pad / height],
  };
}

/**
 * @param {string} text
 * @returns {text is Projection}
 */
export function isProjection(text) {
  return PROJECTIONS.some((p) => p === text);
}
