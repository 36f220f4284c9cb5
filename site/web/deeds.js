// What operators can do. Each first says what it would do.
import { call, Refused } from "./api.js";
import { ask } from "./dialog.js";
import { clock, h, pageOf } from "./dom.js";
import { fault, go, visit } from "./main.js";

/**
 * A button that asks first, and shows the page anew once it is done.
 * @param {string} text @param {string} name @param {string} id @param {() => Promise<boolean>} act
 */
function button(text, name, id, act) {
	let busy = false; // a disabled button would lose the focus
	return h("button", { type: "button", "aria-label": name, id, click: async () => {
		if (busy) return;
		busy = true;
		try {
			if (await act()) await visit();
		} catch (e) {
			fault(e);
		}
		busy = false;
	} }, text);
}

/** @param {number} n @param {string} what */
const so = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

/** What a question says of tasks. @param {any} answer */
const tasks = (answer) => h("ul", {}, answer.tasks.map((/** @type {any} */ t) => h("li", {}, `${t.task}: ${t.reason}`)));

/** @param {any} answer */
function check(answer) {
	const wrong = answer.tasks.filter((/** @type {any} */ t) => t.error);
	if (wrong.length) throw new Error(wrong.map((/** @type {any} */ t) => `${t.task}: ${t.error}`).join("; "));
}

/** @param {any} job */
export function replaying(job) {
	return button("Replay", "Replay " + job.asset, "replay-" + job.job, async () => {
		const would = await call("POST", `jobs/${job.job}/replay`, { dry_run: true });
		const profile = h("input", { name: "profile", placeholder: job.profile || "as before", autocomplete: "off" });
		return ask("Replay " + job.asset + "?", [h("p", {}, `${so(would.tasks.length, "task")} will be sent to the workers again:`), tasks(would), h("label", {}, "With another profile: ", profile)], "Replay",
			async () => check(await call("POST", `jobs/${job.job}/replay`, { profile: profile.value.trim() })));
	});
}

/** @param {any} job */
export function dropping(job) {
	return button("Drop", "Drop " + job.asset, "drop-" + job.job, async () => {
		const would = await call("POST", `jobs/${job.job}/drop`, { dry_run: true });
		return ask("Drop " + job.asset + "?", [h("p", {}, `${so(would.tasks.length, "task")} will be given up. The recording stays, and can be sent again.`), tasks(would)], "Drop",
			async () => check(await call("POST", `jobs/${job.job}/drop`, {})), true);
	});
}

/** @param {any} job */
export function publishing(job) {
	return button("Publish", "Publish job " + job.job, "publish-" + job.job, () => ask("Publish this job?", [h("p", {}, `${job.asset} will be this job's result again, until another is published.`)], "Publish", async () => void (await call("POST", `jobs/${job.job}/publish`, {}))));
}

/** Seconds of what people write: 90, 1:30, 1:01:30.5. @param {string} text */
function seconds(text) {
	const fields = text.trim().split(":").map(Number);
	if (fields.length > 3 || fields.some((x) => !(x >= 0))) throw new Error(`“${text}” is no time: write 90, 1:30 or 1:01:30`);
	return fields.reduce((all, x) => 60 * all + x, 0);
}

/**
 * A form for a clip, whose ends can be taken from the player.
 * @param {string} asset @param {HTMLIFrameElement} player
 */
export function clipping(asset, player) {
	/** @param {string} label @param {string} hint */
	const end = (label, hint) => {
		const input = h("input", { placeholder: hint, autocomplete: "off", size: 9, id: "clip-" + label });
		const now = h("button", { type: "button", "aria-label": `${label}: now, where the player is`, click: () => {
			/** @param {MessageEvent} e */
			const hear = (e) => {
				if (e.source !== player.contentWindow || e.data?.afterlive !== 1) return;
				removeEventListener("message", hear);
				input.value = String(e.data.state.time);
			};
			addEventListener("message", hear);
			player.contentWindow?.postMessage({ afterlive: 1, do: "listen" }, new URL(player.src).origin);
		} }, "Now");
		return { input, row: h("span", { class: "row" }, h("label", {}, label + " ", input), now) };
	};
	const from = end("From", "0:00"), to = end("To", "its end"), name = h("input", { placeholder: "by the times", autocomplete: "off", id: "clip-name" });
	const make = button("Clip…", "Make a clip of " + asset, "clip", async () => {
		const wish = { asset, from_s: seconds(from.input.value), to_s: seconds(to.input.value), as: name.value.trim() };
		const would = await call("POST", "clips", { ...wish, dry_run: true });
		let made = "";
		const done = await ask("Make a clip?", [h("p", {}, `${would.asset}: ${clock(would.from_s)} to ${clock(would.to_s)} of ${asset}. ${so(would.encodes, "segment")} will be encoded.`),
			would.left_out && h("p", {}, `It lacks ${would.left_out.join(", ")}, the recording's own video, which can only be cut at segments.`)], "Make it",
			async () => void (made = (await call("POST", "clips", wish)).asset));
		if (done) go(pageOf(made));
		return false;
	});
	return [h("h2", {}, "Clip"), h("p", { class: "row" }, from.row, to.row, h("label", {}, "Name ", name), make)];
}

/**
 * A form for a title.
 * @param {string} asset @param {string} title - that it has
 */
export function titling(asset, title) {
	const input = h("input", { value: title, placeholder: "none: its name is shown", autocomplete: "off", size: 40, maxLength: 500, dir: "auto", id: "title" });
	const save = button("Save", "Save the title of " + asset, "save-title", async () => {
		await call("POST", "titles", { asset, title: input.value.trim() });
		return true;
	});
	return [h("h2", {}, "Title"), h("p", { class: "row" }, h("label", {}, "Title ", input), save)];
}

/** @param {string} asset */
export function removal(asset) {
	const address = "recordings/" + asset.split("/").map(encodeURIComponent).join("/");
	return h("button", { type: "button", class: "grave", click: async () => {
		try {
			let force = "";
			const would = await call("DELETE", address + "?dry_run=true").catch((e) => {
				if (!(e instanceof Refused) || e.status !== 409) throw e;
				force = e.message; // it is at work, or its messages are gone
				return call("DELETE", address + "?dry_run=true&force=true");
			});
			const too = h("input", { type: "checkbox", name: "recording" });
			const removed = await ask("Remove " + asset + "?", [force && h("p", {}, h("strong", {}, force + ".")), h("p", {}, `${so(would.jobs, "job")} and ${so(would.segments, "segment")} will be removed. That cannot be undone.`), h("label", {}, too, " and the recording that it was made of")], "Remove",
				async () => void (await call("DELETE", `${address}?recording=${too.checked}&force=${force !== ""}`)), true);
			if (removed) go("/");
		} catch (e) {
			fault(e);
		}
	} }, "Remove…");
}
