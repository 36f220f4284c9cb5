// What there is to watch, the newest first.
import { call, site } from "./api.js";
import { clock, h, pageOf, show, when } from "./dom.js";
import { fault, go } from "./main.js";
import { uploading } from "./upload.js";

/** @typedef {{ asset: string, title?: string, state: string, at: string, duration_s: number, poster?: string, projections?: string[] }} Recording */

const often = 10_000; // milliseconds between looks, while the first page is shown

/** @param {import("./main.js").Visit} visit */
export async function recordings({ query, signal }) {
	document.title = "Recordings – afterlive";
	const list = h("ul", { class: "gallery" }), more = h("button", { type: "button" }, "Show older"), said = h("p", { class: "quiet", role: "status" });
	let next = "", shown = "", older = false;
	/** @param {string} after @returns {Promise<Recording[]>} */
	const read = async (after) => {
		const wanted = new URLSearchParams(query);
		if (after) wanted.set("after", after);
		const page = await call("GET", "recordings?" + wanted, undefined, signal);
		next = page.next;
		more.hidden = !next;
		return page.recordings;
	};
	const first = async () => {
		const all = await read("");
		if (JSON.stringify(all) === shown) return;
		shown = JSON.stringify(all);
		const had = document.activeElement?.getAttribute("href");
		list.replaceChildren(...all.map(card));
		if (had) for (const a of list.querySelectorAll("a")) if (a.getAttribute("href") === had) a.focus();
		said.textContent = all.length || next ? "" : query.size ? "No recording is like that." : "Nothing has been published yet. What was recorded appears here by itself.";
	};
	more.addEventListener("click", async () => {
		older = more.disabled = true;
		try {
			list.append(...(await read(next)).map(card));
		} catch (e) {
			fault(e);
		}
		more.disabled = false;
	});
	await first();
	show(h("h1", {}, "Recordings"), search(query), uploading(signal), said, list, more);
	if (query.size) return;
	const timer = setInterval(() => older || document.hidden || first().catch(() => {}), often);
	signal.addEventListener("abort", () => clearInterval(timer));
}

/** @param {URLSearchParams} query */
function search(query) {
	/** @param {SubmitEvent} e */
	const submit = (e) => {
		e.preventDefault();
		const wanted = new URLSearchParams();
		for (const [name, value] of new FormData(/** @type {HTMLFormElement} */ (e.target))) if (value) wanted.set(name, String(value));
		if (wanted.has("since")) wanted.set("until", String(wanted.get("since")));
		go("/" + (wanted.size ? "?" + wanted : ""));
	};
	return h("form", { class: "row", role: "search", submit },
		h("label", {}, "Name ", h("input", { type: "search", name: "q", value: query.get("q") ?? "" })),
		h("label", {}, "Day ", h("input", { type: "date", name: "since", value: query.get("since") ?? "" })),
		h("button", {}, "Search"), query.size > 0 && h("a", { href: "/" }, "All"));
}

/** @param {Recording} r */
function card(r) {
	const live = r.state === "live" || r.state === "waiting", form = (r.projections ?? []).some((p) => p !== "flat") ? "360°" : "";
	const picture = r.poster && h("img", { src: site.media + "/" + r.poster.split("/").map(encodeURIComponent).join("/"), alt: "", loading: "lazy" });
	return h("li", {}, h("a", { href: pageOf(r.asset) },
		h("span", { class: "poster" }, picture, live && h("span", { class: "live" }, r.state === "live" ? "LIVE" : "INTERRUPTED"), h("span", {}, [form, r.duration_s > 0 && clock(r.duration_s)].filter(Boolean).join(" · "))),
		h("span", { class: "name", dir: "auto" }, r.title || r.asset), when(r.at)));
}
