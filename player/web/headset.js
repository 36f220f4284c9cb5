// Looking around in a sphere with a headset, by WebXR. Both eyes see the same picture, which has no depth.

/** @import { Stage } from "./stage.js" */

// TypeScript's own library has no types of WebXR.
/** @typedef {any} XR */

export class Headset {
  /**
   * @param {Stage} stage
   * @param {HTMLButtonElement} button - shown where there is a headset, and something to look around in
   * @param {(message: string) => void} failed
   */
  constructor(stage, button, failed) {
    this.stage = stage;
    this.button = button;
    /** @type {XR} the session, while somebody wears it */
    this.session = undefined;
    this.there = false;
    const xr = /** @type {XR} */ (navigator).xr;
    button.onclick = () => {
      if (this.session) void this.session.end();
      else this.enter(xr).catch((e) => failed(`The headset cannot be used: ${e instanceof Error ? e.message : e}`));
    };
    const look = () =>
      xr?.isSessionSupported?.("immersive-vr").then((/** @type {boolean} */ is) => {
        this.there = is;
        this.update();
      }, () => {}); // where the page may not ask, there is none
    xr?.addEventListener?.("devicechange", look);
    look();
  }

  /** Shows the button, or not. */
  update() {
    this.button.hidden = !this.there || this.stage.view.plain || !this.stage.panes.some((p) => p.stream.projection !== "flat");
    this.button.ariaPressed = String(!!this.session);
  }

  /** @param {XR} xr */
  async enter(xr) {
    const { view, sync, looking } = this.stage;
    const session = await xr.requestSession("immersive-vr");
    this.session = session;
    this.update();
    session.addEventListener("end", () => {
      this.session = undefined;
      view.gl.bindFramebuffer(view.gl.FRAMEBUFFER, null);
      this.stage.dirty = true;
      this.update();
    });
    session.addEventListener("select", () => (sync.wanted ? sync.pause() : sync.play())); // a controller's trigger, a pinch
    try {
      await /** @type {XR} */ (view.gl).makeXRCompatible();
      const layer = new /** @type {XR} */ (globalThis).XRWebGLLayer(session, view.gl);
      await session.updateRenderState({ baseLayer: layer });
      const space = await session.requestReferenceSpace("local");
      const ahead = looking.look.yaw; // where one looks on the page is ahead in the headset
      /** @param {number} _ @param {XR} frame */
      const draw = (_, frame) => {
        if (this.session !== session) return;
        session.requestAnimationFrame(draw);
        const pose = frame.getViewerPose(space);
        if (pose) this.draw(layer, pose.views, ahead);
      };
      session.requestAnimationFrame(draw);
    } catch (e) {
      await session.end();
      throw e;
    }
  }

  /**
   * Draws what each eye sees.
   * @param {XR} layer @param {XR[]} eyes @param {number} ahead - degrees
   */
  draw(layer, eyes, ahead) {
    const { view, panes: [pane] } = this.stage;
    if (!pane) return;
    const { video } = pane;
    // Browsers may tell of no frames while a headset shows the page.
    if (!video.paused && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && pane.frames.at(-1)?.time !== video.currentTime) pane.grab(video.currentTime);
    const { gl } = view;
    gl.bindFramebuffer(gl.FRAMEBUFFER, layer.framebuffer);
    gl.disable(gl.SCISSOR_TEST);
    gl.clearColor(0, 0, 0, 1);
    gl.clear(gl.COLOR_BUFFER_BIT);
    const picture = pane.frames.at(-1)?.picture;
    if (picture) for (const eye of eyes) view.drawEye(layer.getViewport(eye), eye.projectionMatrix, eye.transform.matrix, ahead, picture);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
  }
}
