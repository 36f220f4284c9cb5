// What has failed, by reason, and what to do about it.
import { call } from "./api.js";
import { h, pageOf, show, table, when } from "./dom.js";
import { dropping, replaying } from "./deeds.js";

/** @param {import("./main.js").Visit} visit */
export async function failures({ query, signal }) {
	document.title = "Failures – afterlive";
	const after = query.get("after") ?? "", page = await call("GET", "jobs?state=failed&limit=100&after=" + encodeURIComponent(after), undefined, signal);
	/** @type {Map<string, any[]>} */
	const byReason = new Map();
	for (const j of page.jobs) byReason.set(j.reason, [...(byReason.get(j.reason) ?? []), j]);
	const groups = [...byReason].sort((a, b) => b[1].length - a[1].length);
	show(
		h("h1", {}, "Failures"),
		page.jobs.length === 0 && !page.next && h("p", { class: "quiet" }, "No job has failed."),
		groups.map(([reason, all]) => [h("h2", {}, `${reason} (${all.length})`), table(["Recording", "What", "Since", "Job", "Do"], all.map(row), reason)]),
		page.next && h("p", {}, h("a", { href: "/failures?after=" + encodeURIComponent(page.next) }, "Older")),
	);
}

/** @param {any} j */
const row = (j) => [h("a", { href: pageOf(j.asset) }, j.asset), h("span", {}, j.detail.slice(0, 300)), when(j.since), h("a", { href: "/jobs/" + j.job }, j.job), h("span", { class: "row" }, replaying(j), dropping(j))];
