// What operators can do. Each first says what it would do.
import { call } from "./api.js";
import { ask } from "./dialog.js";
import { h } from "./dom.js";
import { fault, go, visit } from "./main.js";

/** A button that asks first, and shows the page anew once it is done. @param {string} text @param {string} name @param {() => Promise<boolean>} act */
const button = (text, name, act) => h("button", { type: "button", "aria-label": name, click: async () => {
	try {
		if (await act()) await visit();
	} catch (e) {
		fault(e);
	}
} }, text);

/** @param {number} n @param {string} what */
const so = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;

/** @param {any} answer */
const tasks = (answer) => h("ul", {}, answer.tasks.map((/** @type {any} */ t) => h("li", {}, `${t.task}: ${t.reason}`)));

/** @param {any} answer */
function check(answer) {
	const wrong = answer.tasks.filter((/** @type {any} */ t) => t.error);
	if (wrong.length) throw new Error(wrong.map((/** @type {any} */ t) => `${t.task}: ${t.error}`).join("; "));
}

/** @param {any} job */
export function replaying(job) {
	return button("Replay", "Replay " + job.asset, async () => {
		const would = await call("POST", `jobs/${job.job}/replay`, { dry_run: true });
		const profile = h("input", { name: "profile", placeholder: job.profile || "as before", autocomplete: "off" });
		return ask("Replay " + job.asset + "?", [h("p", {}, `${so(would.tasks.length, "task")} will be sent to the workers again:`), tasks(would), h("label", {}, "With another profile: ", profile)], "Replay",
			async () => check(await call("POST", `jobs/${job.job}/replay`, { profile: profile.value.trim() })));
	});
}

/** @param {any} job */
export function dropping(job) {
	return button("Drop", "Drop " + job.asset, async () => {
		const would = await call("POST", `jobs/${job.job}/drop`, { dry_run: true });
		return ask("Drop " + job.asset + "?", [h("p", {}, `${so(would.tasks.length, "task")} will be given up. The recording stays, and can be sent again.`), tasks(would)], "Drop",
			async () => check(await call("POST", `jobs/${job.job}/drop`, {})), true);
	});
}

/** @param {any} job */
export function publishing(job) {
	return button("Publish", "Publish job " + job.job, () => ask("Publish this job?", [h("p", {}, `${job.asset} will be this job's result again, until another is published.`)], "Publish", async () => void (await call("POST", `jobs/${job.job}/publish`, {}))));
}

/** @param {string} asset */
export function removal(asset) {
	const address = "recordings/" + asset.split("/").map(encodeURIComponent).join("/");
	return h("button", { type: "button", class: "grave", click: async () => {
		try {
			const would = await call("DELETE", address + "?dry_run=true");
			const too = h("input", { type: "checkbox", name: "recording" });
			const removed = await ask("Remove " + asset + "?", [h("p", {}, `${so(would.jobs, "job")} and ${so(would.segments, "segment")} will be removed. That cannot be undone.`), h("label", {}, too, " and the recording that it was made of")], "Remove",
				async () => void (await call("DELETE", address + (too.checked ? "?recording=true" : ""))), true);
			if (removed) go("/");
		} catch (e) {
			fault(e);
		}
	} }, "Remove…");
}
