// What operators can do. Each first says what it would do.
import { call, Refused } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
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
