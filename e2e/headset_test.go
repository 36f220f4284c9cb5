package e2e

import "testing"

// fakeXR is a headset as WebXR tells of it, which draws into the page's canvas: the left eye looks straight on, the right one sees the right half of
// what lies ahead, as where a lens is not before the middle of its screen.
const fakeXR = `
	const column = (yaw, pitch) => { // of an eye that is turned so, 4x4, column by column
		const [y, p] = [-yaw * Math.PI / 180, pitch * Math.PI / 180], [cy, sy, cp, sp] = [Math.cos(y), Math.sin(y), Math.cos(p), Math.sin(p)];
		return new Float32Array([cy, 0, -sy, 0, sy * sp, cp, cy * sp, 0, sy * cp, -sp, cy * cp, 0, 0, 0, 0, 1]);
	};
	const lens = (x, y, shift) => new Float32Array([1 / x, 0, 0, 0, 0, 1 / y, 0, 0, shift / x, 0, -1, -1, 0, 0, -0.2, 0]);
	window.eyes = [{projectionMatrix: lens(1, 1, 0), transform: {matrix: column(40, 10)}}, {projectionMatrix: lens(.5, 1, .5), transform: {matrix: column(40, 10)}}];
	class Session extends EventTarget {
		frames = 0;
		async updateRenderState() {}
		async requestReferenceSpace() { return {}; }
		requestAnimationFrame(draw) { setTimeout(() => { this.frames++; draw(0, {getViewerPose: () => ({views: eyes})}); }, 20); }
		async end() { this.dispatchEvent(new Event("end")); }
	}
	globalThis.XRWebGLLayer = class {
		framebuffer = null;
		constructor(session, gl) { this.gl = gl; }
		getViewport(eye) { const {width, height} = this.gl.canvas; return {x: eye === eyes[0] ? 0 : width / 2, y: 0, width: width / 2, height}; }
	};
	WebGL2RenderingContext.prototype.makeXRCompatible = async () => {};
	Object.defineProperty(navigator, "xr", {configurable: true, value: {isSessionSupported: async (mode) => mode === "immersive-vr", requestSession: async () => (window.worn = new Session())}});
	const { Headset } = await import("./headset.js");
	player.controls.headset = new Headset(player.stage, document.getElementById("headset"), (m) => { window.failedBecause = m });`

// With a headset, each eye sees what it looks at, as the page would show it in that direction. No headset was there: one is played.
func playerHeadset(t *testing.T, address string) {
	b := openBrowser(t)
	b.visit(address + "/player/?asset=world&ladder=cubemap&yaw=30")
	b.wait("document.getElementById('headset').hidden") // there is none
	b.run("player.stage.sync.pause()")
	b.run("const canvas = document.getElementById('canvas'); canvas.style.width = '640px'; canvas.style.height = '320px'; player.stage.dirty = true")
	b.run(fakeXR)
	b.wait("!document.getElementById('headset').hidden")
	b.run("document.getElementById('headset').click()")
	b.wait("window.worn?.frames > 3 && document.getElementById('headset').ariaPressed === 'true'")
	type likeness struct{ Left, Right, Other float64 }
	got := evaluate[likeness](b, `(() => {
		const { stage, controls } = player, { view } = stage, { gl, canvas } = view, [w, h] = [canvas.width, canvas.height];
		const read = () => { const all = new Uint8Array(w * h * 4); gl.readPixels(0, 0, w, h, gl.RGBA, gl.UNSIGNED_BYTE, all); return all; };
		const apart = (a, b, from, to, shift) => { // the mean difference of columns
			let sum = 0;
			for (let y = 0; y < h; y++) for (let x = from; x < to; x++) for (let c = 0; c < 3; c++) sum += Math.abs(a[4 * (y * w + x) + c] - b[4 * (y * w + x + shift) + c]);
			return sum / (h * (to - from) * 3);
		};
		const picture = stage.panes[0].frames.at(-1).picture;
		controls.headset.draw(new XRWebGLLayer(worn, gl), eyes, 30);
		const worn_ = read();
		const page = (place, fov) => { view.clear(); view.draw(place, {yaw: 70, pitch: 10, roll: 0, fov}, picture); return read(); };
		// The left eye: 90 degrees both ways, on half of the canvas, which is as wide as high.
		const left = apart(worn_, page({x: 0, y: 0, width: w / 2, height: h}, 90), 0, w / 2, 0);
		// The right eye: on its half of the canvas, the right half of 90 degrees that were as wide as the canvas.
		const reached = view.at("reach"), all = page({x: 0, y: 0, width: w, height: h}, 90);
		gl.uniform2f(reached, 1, 1);
		gl.drawArrays(gl.TRIANGLES, 0, 3);
		const stretched = read();
		return {Left: left, Right: apart(worn_, stretched, w / 2, w, 0), Other: apart(worn_, all, w / 2, w, 0)};
	})()`)
	if got.Left > 1 || got.Right > 1 || got.Other < 5 {
		t.Errorf("eyes differ from the page by %+v", got)
	}
	playing := evaluate[bool](b, "(worn.dispatchEvent(new Event('select')), player.stage.sync.wanted)")
	b.wait("!player.stage.panes[0].video.paused && player.stage.panes[0].video.currentTime > 0.5")
	if !playing {
		t.Error("the trigger doesn't play")
	}
	b.run("document.getElementById('headset').click()")
	b.wait("document.getElementById('headset').ariaPressed === 'false' && !player.controls.headset.session")
	if said := b.text("String(window.failedBecause)"); said != "undefined" {
		t.Errorf("it says %s", said)
	}
	// A flat video has a window of its own, a sphere none.
	const played = "Object.defineProperty(document, 'pictureInPictureEnabled', {configurable: true, value: true}); HTMLVideoElement.prototype.requestPictureInPicture = async function () { window.small = this }; player.controls.update()"
	b.run(played)
	b.wait("document.getElementById('pip').hidden")
	b.visit(address + "/player/?asset=short")
	b.run(played)
	b.wait("!document.getElementById('pip').hidden")
	b.run("document.getElementById('pip').click()")
	b.wait("window.small === player.stage.panes[0].video")
}
