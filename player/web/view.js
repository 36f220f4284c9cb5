// Draws panes into one WebGL 2 canvas: every pane is a rectangle of it, so that a
// difference can be taken of any two pictures.

/** @import { Geometry } from "./projection.js" */

const VERTEX = `#version 300 es
in vec2 corner;
out vec2 at;
void main() { at = corner; gl_Position = vec4(corner, 0., 1.); }`;

// Directions: x right, y up, z backwards. A face's coordinates run from -1 to 1, right
// and down as seen from the centre of the cube; cells and turns are v360's.
const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
struct Source { int projection; vec2 size; int cells[6]; int turns[6]; vec2 pad; };
uniform Source one, two;
uniform sampler2D onePicture, twoPicture;
uniform bool difference;
uniform float gain;
uniform mat3 look;
uniform vec2 shift; // of the view's middle, at distance 1: an eye's is not where it looks
uniform vec2 reach; // of the view, at distance 1; of a flat picture, how much larger than it the pane is
in vec2 at;
out vec4 colour;
const float PI = 3.14159265358979;

vec2 equirectangular(vec3 d) { return vec2(atan(d.x, -d.z) / (2. * PI) + .5, .5 - asin(clamp(d.y, -1., 1.)) / PI); }

vec2 cube(Source s, vec3 d, bool equalAngles) {
  vec3 a = abs(d);
  int face; vec2 f;
  if (a.x >= a.y && a.x >= a.z) { face = d.x > 0. ? 0 : 1; f = vec2(d.x > 0. ? d.z : -d.z, -d.y) / a.x; }
  else if (a.y >= a.z) { face = d.y > 0. ? 2 : 3; f = vec2(d.x, d.y > 0. ? -d.z : d.z) / a.y; }
  else { face = d.z < 0. ? 4 : 5; f = vec2(d.z < 0. ? d.x : -d.x, -d.y) / a.z; }
  if (equalAngles) f = atan(f) * 4. / PI;
  int turn = s.turns[face];
  if (turn == 1) f = vec2(-f.y, f.x); else if (turn == 2) f = -f; else if (turn == 3) f = vec2(f.y, -f.x);
  vec2 cell = vec2(s.cells[face] % 3, s.cells[face] / 3);
  vec2 uv;
  if (equalAngles) {
    f = f * .5 + .5;
    uv = vec2((f.x + cell.x) * (1. - 2. * s.pad.x) / 3. + s.pad.x, f.y * (.5 - 2. * s.pad.y) + s.pad.y + .5 * cell.y);
    // Faces side by side continue each other; rows don't, so none may bleed into the other.
    float texel = .5 / s.size.y;
    return vec2(uv.x, clamp(uv.y, .5 * cell.y + texel, .5 * cell.y + .5 - texel));
  }
  vec2 edge = s.size / vec2(3., 2.);
  vec2 inside = clamp((f * (1. - s.pad) * .5 + .5) * edge, vec2(.5), edge - .5);
  return (cell * edge + inside) / s.size;
}

vec3 seen(Source s, sampler2D picture, vec3 d) {
  if (s.projection == 0) {
    vec2 uv = vec2(.5 + .5 * at.x * reach.x, .5 - .5 * at.y * reach.y);
    return any(lessThan(uv, vec2(0.))) || any(greaterThan(uv, vec2(1.))) ? vec3(0.) : texture(picture, uv).rgb;
  }
  return texture(picture, s.projection == 1 ? equirectangular(d) : cube(s, d, s.projection == 3)).rgb;
}

void main() {
  vec3 d = normalize(look * vec3(at * reach + shift, -1.));
  vec3 c = seen(one, onePicture, d);
  if (difference) c = gain * abs(c - seen(two, twoPicture, d));
  colour = vec4(c, 1.);
}`;

/**
 * One picture to draw: a texture with the frame, and how it is to be read.
 * @typedef {object} Picture
 * @property {WebGLTexture} texture
 * @property {number} width
 * @property {number} height
 * @property {Geometry} geometry
 */

/**
 * Where the viewer looks. Angles in degrees; fov is that of the shorter side, from edge to edge: so a phone that is turned shows more, and nothing larger.
 * @typedef {{yaw: number, pitch: number, roll: number, fov: number}} Look
 */

/** @typedef {{x: number, y: number, width: number, height: number}} Rectangle - in device pixels, y from the top */

export class View {
  /** @param {HTMLCanvasElement} canvas */
  constructor(canvas) {
    const gl = canvas.getContext("webgl2", { antialias: false, alpha: false, preserveDrawingBuffer: true });
    if (!gl) throw new Error("This browser has no WebGL 2, which it takes to look around in a sphere.");
    this.canvas = canvas;
    this.plain = false; // it draws: see plain.js
    this.gl = gl;
    this.start();
    canvas.addEventListener("webglcontextlost", (e) => e.preventDefault());
    this.restored = () => {}; // set by whoever has textures to make anew
    canvas.addEventListener("webglcontextrestored", () => {
      this.start();
      this.restored();
    });
  }

  /** Makes what lives in the context; it is gone when the context was lost. */
  start() {
    const { gl } = this;
    this.program = gl.createProgram();
    for (const [kind, source] of /** @type {const} */ ([[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]])) {
      const shader = gl.createShader(kind);
      if (!shader) throw new Error("WebGL is out of order.");
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
    }
    gl.bindAttribLocation(this.program, 0, "corner");
    gl.linkProgram(this.program);
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS)) {
      throw new Error("The shader cannot be built: " + gl.getProgramInfoLog(this.program));
    }
    gl.useProgram(this.program);
    gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
    gl.bufferData(gl.ARRAY_BUFFER, new Float32Array([-1, -1, 3, -1, -1, 3]), gl.STATIC_DRAW); // one triangle covers all
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 2, gl.FLOAT, false, 0, 0);
    gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
    /** @type {Map<string, WebGLUniformLocation | null>} */
    this.locations = new Map();
  }

  /** @param {string} name */
  at(name) {
    let place = this.locations?.get(name);
    if (place === undefined && this.program) {
      place = this.gl.getUniformLocation(this.program, name);
      this.locations?.set(name, place);
    }
    return place ?? null;
  }

  /** An empty texture: linear, without mipmaps, whose row closes upon itself as that of an equirectangular picture does. */
  texture() {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.LINEAR);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_S, gl.REPEAT);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_WRAP_T, gl.CLAMP_TO_EDGE);
    return texture;
  }

  /**
   * Copies what a video shows now.
   * @param {WebGLTexture} texture
   * @param {HTMLVideoElement} video
   */
  upload(texture, video) {
    const { gl } = this;
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, video);
  }

  /** Fits the canvas to its place on the page, and empties it. */
  clear() {
    const { gl, canvas } = this;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight].map((n) => Math.max(1, Math.round(n * devicePixelRatio)));
    if (w && h && (canvas.width !== w || canvas.height !== h)) [canvas.width, canvas.height] = [w, h];
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
  }

  /**
   * Draws one picture, or the difference of two, amplified by gain.
   * @param {Rectangle} place
   * @param {Look} look
   * @param {Picture} one
   * @param {Picture} [two]
   * @param {number} [gain]
   */
  draw(place, look, one, two, gain = 1) {
    const { gl } = this;
    const bottom = this.canvas.height - place.y - place.height;
    gl.viewport(place.x, bottom, place.width, place.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(place.x, bottom, place.width, place.height);
    this.source("one", 0, one);
    this.source("two", 1, two ?? one);
    gl.uniform1i(this.at("difference"), two ? 1 : 0);
    gl.uniform1f(this.at("gain"), gain);
    gl.uniformMatrix3fv(this.at("look"), false, rotation(look));
    gl.uniform2f(this.at("shift"), 0, 0);
    gl.uniform2fv(this.at("reach"), one.geometry.code === 0 ? frame(place, one) : reach(place, look));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /**
   * Draws what an eye of a headset sees, into the framebuffer that is bound.
   * @param {Rectangle} place - y from the bottom, as WebXR has it
   * @param {Float32Array} projection - of WebXR, 4x4, column by column
   * @param {Float32Array} turned - where the eye is and looks, likewise
   * @param {number} ahead - degrees about the vertical, to where it looks that looks ahead
   * @param {Picture} picture - of a sphere
   */
  drawEye(place, projection, turned, ahead, picture) {
    const { gl } = this;
    const [p, t] = [(/** @type {number} */ i) => projection[i] ?? 0, (/** @type {number} */ i) => turned[i] ?? 0];
    gl.viewport(place.x, place.y, place.width, place.height);
    gl.enable(gl.SCISSOR_TEST);
    gl.scissor(place.x, place.y, place.width, place.height);
    this.source("one", 0, picture);
    this.source("two", 1, picture);
    gl.uniform1i(this.at("difference"), 0);
    const [c, s] = [Math.cos((-ahead * Math.PI) / 180), Math.sin((-ahead * Math.PI) / 180)];
    const column = (/** @type {number} */ i) => [c * t(i) + s * t(i + 2), t(i + 1), c * t(i + 2) - s * t(i)];
    gl.uniformMatrix3fv(this.at("look"), false, [...column(0), ...column(4), ...column(8)]);
    gl.uniform2f(this.at("shift"), p(8) / p(0), p(9) / p(5));
    gl.uniform2f(this.at("reach"), 1 / p(0), 1 / p(5));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  /**
   * @param {"one" | "two"} name
   * @param {number} unit
   * @param {Picture} picture
   */
  source(name, unit, { texture, width, height, geometry }) {
    const { gl } = this;
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, texture);
    gl.uniform1i(this.at(name + "Picture"), unit);
    gl.uniform1i(this.at(name + ".projection"), geometry.code);
    gl.uniform2f(this.at(name + ".size"), width, height);
    gl.uniform1iv(this.at(name + ".cells[0]"), geometry.cells);
    gl.uniform1iv(this.at(name + ".turns[0]"), geometry.turns);
    gl.uniform2fv(this.at(name + ".pad"), geometry.pad);
    gl.activeTexture(gl.TEXTURE0);
  }
}

/**
 * The rotation that turns the forward direction to where one looks: yaw about the
 * vertical, then pitch, then roll; column by column.
 * @param {Look} look
 */
function rotation({ yaw, pitch, roll }) {
  const [y, p, r] = [-yaw, pitch, roll].map((a) => (a * Math.PI) / 180);
  const [cy, sy, cp, sp, cr, sr] = [cos(y), sin(y), cos(p), sin(p), cos(r), sin(r)];
  return new Float32Array([
    cy * cr + sy * sp * sr, cp * sr, -sy * cr + cy * sp * sr,
    -cy * sr + sy * sp * cr, cp * cr, sy * sr + cy * sp * cr,
    sy * cp, -sp, cy * cp,
  ]);
}

/** @param {number | undefined} a */
const cos = (a) => Math.cos(a ?? 0);
/** @param {number | undefined} a */
const sin = (a) => Math.sin(a ?? 0);

/**
 * How far a view reaches, at distance 1.
 * @param {Rectangle} place
 * @param {Look} look
 * @returns {[number, number]}
 */
function reach({ width, height }, { fov }) {
  const short = Math.tan((fov * Math.PI) / 360) / Math.min(width, height);
  return [short * width, short * height];
}

/**
 * How much larger than the flat picture its pane is, where the picture fits just in.
 * @param {Rectangle} place
 * @param {Picture} picture
 * @returns {[number, number]}
 */
function frame(place, picture) {
  const wider = place.width / place.height / (picture.width / picture.height);
  return wider > 1 ? [wider, 1] : [1, 1 / wider];
}
