// One job: how it stands, what failed, who made which part when.
import { call } from "./api.js";
import { badge, clock, h, pageOf, quiet, show, svg, table, when } from "./dom.js";
import { dropping, publishing, replaying } from "./deeds.js";

/** @param {import("./main.js").Visit} visit */
export async function job({ path, signal }) {
	const id = path[0] ?? "";
	document.title = id + " – afterlive";
	let shown = "", draws = 0;
	const draw = async () => {
		const mine = ++draws;
		const j = await call("GET", "jobs/" + encodeURIComponent(id), undefined, signal), s = j.status;
		const parts = s.parts ? await call("GET", `jobs/${id}/parts`, undefined, signal) : { parts: [], claims: [] };
		if (mine !== draws || JSON.stringify([j, parts]) === shown || (shown && !quiet())) return;
		shown = JSON.stringify([j, parts]);
		show(h("h1", {}, "Job ", id), facts(s), deeds(s), j.failures.map(failure), j.retries.map(retry), made(parts));
	};
	await draw();
	addEventListener("afterlive:work", () => void draw().catch(() => {}), { signal });
}

/** @param {any} s */
function facts(s) {
	return h("dl", {},
		h("dt", {}, "Recording"), h("dd", {}, h("a", { href: pageOf(s.asset) }, s.asset), h("small", {}, " " + (s.recording ?? ""))),
		h("dt", {}, "State"), h("dd", {}, badge(s.state), " ", when(s.since)),
		h("dt", {}, "Profile"), h("dd", {}, s.profile || "default"),
		s.duration_s > 0 && [h("dt", {}, "Length"), h("dd", {}, clock(s.duration_s))],
		s.parts > 0 && [h("dt", {}, "Parts"), h("dd", {}, `${s.done} of ${s.parts}`)],
		s.effort?.slot_s > 0 && [h("dt", {}, "Work"), h("dd", {}, `${clock(s.effort.slot_s)} (${(s.duration_s / s.effort.slot_s).toFixed(1)} times real time)` + (s.effort.usd ? `, ${s.effort.usd.toFixed(4)} USD` : ""))],
		s.state === "superseded" && [h("dt", {}, "By"), h("dd", {}, h("a", { href: "/jobs/" + s.published_job }, s.published_job))]);
}

/** @param {any} s */
const deeds = (s) => h("p", { class: "row" }, s.state === "failed" && [replaying(s), dropping(s)], s.state === "superseded" && publishing(s));

/** @param {any} f */
function failure(f) {
	return h("section", { "aria-label": "Failure of " + f.task },
		h("h2", {}, `${f.task}: ${f.reason}`),
		h("p", {}, f.detail),
		f.advice && h("p", {}, h("strong", {}, "What to do: "), f.advice),
		f.log && [h("p", { class: "quiet" }, "The last that ffmpeg said:"), h("pre", { tabindex: 0 }, f.log)],
		h("p", { class: "quiet" }, when(f.time), ` by ${f.worker}`, f.program && `, ${f.program}`, f.dropped && ", dropped since"));
}

/** @param {any} r */
const retry = (r) => h("section", { "aria-label": "Retry of " + r.task }, h("h2", {}, `${r.task} is tried again: ${r.reason}`), h("p", {}, r.detail), h("p", { class: "quiet" }, `After ${r.times} of 5 attempts; next at ${new Date(r.next).toLocaleTimeString()}. The last was by ${r.worker}.`));

const width = 900, rowHeight = 22, margin = 150;

/** Who made which part when: a row a worker. @param {any} all */
function made(all) {
	/** @type {{ name: string, worker: string, from: number, to: number, open?: boolean }[]} */
	const bars = all.parts.filter((/** @type {any} */ p) => p.made).map((/** @type {any} */ p) => ({ name: p.name, worker: p.worker, to: Date.parse(p.made), from: Date.parse(p.made) - 1000 * p.effort.slot_s }));
	if (bars.length + all.claims.length === 0) return h("p", { class: "quiet" }, "No part of it is there yet.");
	const begin = Math.min(Date.now(), ...bars.map((b) => b.from)), end = all.claims.length ? Date.now() : Math.max(...bars.map((b) => b.to));
	const workers = [...new Set([...bars.map((b) => b.worker), ...all.claims.map((/** @type {any} */ c) => c.by)])].sort();
	/** @param {number} t */
	const x = (t) => margin + ((width - margin - 10) * (t - begin)) / Math.max(1, end - begin);
	const line = svg("svg", { class: "line", viewBox: `0 0 ${width} ${workers.length * rowHeight + 26}`, role: "img", "aria-label": "Who made which part when" },
		workers.map((w, i) => svg("text", { x: 8, y: i * rowHeight + 16 }, w.length > 22 ? w.slice(0, 21) + "…" : w)),
		bars.map((b, i) => svg("rect", { x: x(b.from), y: workers.indexOf(b.worker) * rowHeight + 4, width: Math.max(1.5, x(b.to) - x(b.from) - 1), height: rowHeight - 7, fill: i % 2 ? "#3d74ad" : "#4f8fd0" }, svg("title", {}, `${b.name}: ${((b.to - b.from) / 1000).toFixed(1)} s`))),
		svg("text", { x: margin, y: workers.length * rowHeight + 18 }, new Date(begin).toLocaleTimeString()),
		svg("text", { x: width - 10, y: workers.length * rowHeight + 18, "text-anchor": "end" }, new Date(end).toLocaleTimeString()));
	const rows = all.parts.map((/** @type {any} */ p) => [p.name, `${clock(p.from_s)} – ${clock(p.to_s)}`, p.worker, when(p.made), `${p.effort.slot_s.toFixed(1)} s`, `${p.effort.cpu_s.toFixed(1)} s`, (p.effort.written_bytes / 1e6).toFixed(1) + " MB"]);
	return [h("h2", {}, "Parts"), line,
		all.claims.length > 0 && table(["Part", "Being made by", "Claimed until"], all.claims.map((/** @type {any} */ c) => [c.part, c.by, new Date(c.until).toLocaleTimeString()]), "Being made"),
		h("details", { id: "all-parts" }, h("summary", {}, "All parts"), table(["Part", "Of the recording", "Worker", "Done", "Slot", "Processor", "Written"], rows, "Parts"), all.next && h("p", { class: "quiet" }, `The first ${all.parts.length}.`))];
}
