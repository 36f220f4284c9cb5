// What is at work.
import { call } from "./api.js";
import { badge, clock, h, pageOf, quiet, show, table, when } from "./dom.js";

const atWork = ["working", "retrying", "live", "waiting"];

/** @param {import("./main.js").Visit} visit */
export async function work({ signal }) {
	document.title = "Work – afterlive";
	const pace = new Pace();
	draw(await call("GET", "work", undefined, signal), pace);
	addEventListener("afterlive:work", (e) => quiet() && draw(/** @type {CustomEvent} */ (e).detail, pace), { signal });
}

/** How much is made of recordings, by what was seen since the page was opened. */
class Pace {
	/** @type {{ at: number, encoded: Map<string, number> } | undefined} */ first;
	made = 0; // seconds of recordings
	/** @param {any} now @returns {number} seconds of recordings a second; 0: not known yet */
	see(now) {
		const at = Date.parse(now.at), encoded = new Map(now.jobs.map((/** @type {any} */ j) => [j.job, j.encoded_s]));
		this.first ??= { at, encoded };
		for (const [job, s] of encoded) this.made += Math.max(0, s - (this.last?.get(job) ?? this.first.encoded.get(job) ?? 0));
		this.last = encoded;
		const seconds = (at - this.first.at) / 1000;
		return seconds > 5 ? this.made / seconds : 0;
	}
	/** @type {Map<string, number> | undefined} */ last;
}

/** @param {any} now @param {Pace} pace */
function draw(now, pace) {
	const speed = pace.see(now), busy = now.jobs.filter((/** @type {any} */ j) => atWork.includes(j.state)), rest = now.jobs.filter((/** @type {any} */ j) => !atWork.includes(j.state));
	const left = busy.filter((/** @type {any} */ j) => j.state !== "live" && j.state !== "waiting").reduce((/** @type {number} */ sum, /** @type {any} */ j) => sum + Math.max(0, j.duration_s - j.encoded_s), 0);
	show(
		h("h1", {}, "Work"),
		h("div", { class: "figures" },
			figure(now.queue.waiting, "tasks wait"), figure(now.queue.in_flight, "in work"), figure(now.queue.delayed, "to be tried again"), figure(now.failed, "failed"),
			figure(speed ? speed.toFixed(1) + "×" : "–", "of real time, since this page was opened"), figure(left && speed ? "≈ " + clock(left / speed) : "–", "left")),
		h("h2", {}, "At work"),
		busy.length ? table(["Recording", "State", "Done", "Planned", "Job"], busy.map(row), "At work") : h("p", { class: "quiet" }, "Nothing."),
		h("h2", {}, "Workers"),
		now.workers.length ? table(["Worker", "Does", "Slots", "Since", "Last seen"], now.workers.map(worker), "Workers") : h("p", { class: "quiet" }, "None has been seen in the last three minutes."),
		h("h2", {}, "Lately"),
		rest.length ? table(["Recording", "State", "Length", "Planned", "Job"], rest.map(row), "Lately") : h("p", { class: "quiet" }, "Nothing in the last seven days."),
	);
}

/** @param {string | number} value @param {string} name */
const figure = (value, name) => h("div", {}, value, h("small", {}, name));

/** @param {any} w */
function worker(w) {
	const tasks = w.tasks.map((/** @type {any} */ t) => h("div", {}, t.job ? h("a", { href: "/jobs/" + t.job, id: `does-${w.name}-${t.job}-${t.task}` }, t.task) : t.task));
	return [h("span", { title: w.program }, w.name), [w.why && h("div", {}, h("strong", {}, "takes no task: " + w.why)), tasks.length ? tasks : "nothing"], w.slots, when(w.began), when(w.seen)];
}

/** @param {any} j */
function row(j) {
	const settled = !atWork.includes(j.state), live = j.state === "live" || j.state === "waiting";
	const done = settled || live ? h("span", {}, j.duration_s ? clock(live ? j.encoded_s : j.duration_s) : "–") : h("span", {}, h("progress", { max: Math.max(1, j.parts), value: j.done, "aria-label": "Parts of " + j.asset }), ` ${j.done} of ${j.parts} parts`);
	const why = (j.state === "retrying" || j.state === "failed" || j.state === "dropped") && h("div", {}, h("small", {}, `${j.reason}${j.state === "retrying" ? `, again ${new Date(j.next).toLocaleTimeString()}` : ""}`));
	return [h("a", { href: pageOf(j.asset), id: "recording-" + j.job }, j.asset), h("span", {}, badge(j.state), why), done, when(j.planned ?? j.since), h("a", { href: "/jobs/" + j.job, id: "job-" + j.job }, j.job)];
}
