// One recording: to watch, to link to, and for operators what it is made of.
import { call, site } from "./api.js";
import { badge, clock, h, pageOf, show, table, when } from "./dom.js";
import { clipping, removal, titling } from "./deeds.js";

/** @param {import("./main.js").Visit} visit */
export async function recording({ path, signal }) {
	const asset = path.join("/"), address = asset.split("/").map(encodeURIComponent).join("/");
	const r = await call("GET", "recordings/" + address, undefined, signal);
	const title = r.published?.title || asset;
	document.title = title + " – afterlive";
	const base = site.media || location.origin, player = `${base}/player/index.html?asset=${address.replaceAll("%2F", "/")}`;
	const p = r.published, facts = r.recording;
	const frame = p && h("iframe", { class: "watch", src: player, title: "Player", allow: "autoplay; fullscreen; gyroscope; accelerometer; xr-spatial-tracking", allowfullscreen: true });
	show(
		h("h1", { dir: "auto" }, title),
		title !== asset && h("p", { class: "quiet" }, asset),
		frame,
		!p && h("p", {}, "It cannot be watched yet."),
		facts && h("p", { class: "row" }, badge(facts.state), facts.duration_s > 0 && h("span", {}, clock(facts.duration_s)), when(facts.at), h("span", { class: "quiet" }, (facts.projections ?? []).join(", "))),
		p?.trimmed && h("p", {}, `Of its recording, ${clock(p.trimmed.start_s)} at the start and ${clock(p.trimmed.end_s)} at the end were left out.`),
		p?.clip && h("p", {}, `A part of `, h("a", { href: pageOf(p.clip.asset) }, p.clip.asset), `, from ${clock(p.clip.from_s)} to ${clock(p.clip.to_s)}.`),
		p && [whatIsMissing(p), links(`${base}/vod/${address}/master.m3u8`, player)],
		p && renditions(p),
		r.jobs && jobs(r.jobs),
		r.jobs && p && !p.clip && clipping(asset, frame),
		r.jobs && p && titling(asset, p.title ?? ""),
		r.jobs && h("p", {}, removal(asset)),
	);
}

/** @param {any} p asset.json */
function whatIsMissing(p) {
	const all = [...(p.missing ?? []).map((/** @type {any} */ m) => h("li", {}, `${m.what}: ${(100 * m.share).toFixed(1)} %. ${m.why ?? ""}`)),
		...(p.discontinuities ?? []).map((/** @type {any} */ d) => h("li", {}, `At ${clock(d.at_s)} something of the event is missing${d.lost_s ? `: ${d.lost_s.toFixed(1)} s` : ""}.`)),
		p.abandoned && h("li", {}, "Its recorder went away: what came last is missing.")].filter(Boolean);
	return all.length > 0 && [h("h2", {}, "What is missing"), h("ul", {}, all)];
}

/** @param {string} hls @param {string} player */
function links(hls, player) {
	const embed = `<iframe src="${player.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}" width="640" height="360" style="border: 0" allow="autoplay; fullscreen; gyroscope; accelerometer; xr-spatial-tracking" allowfullscreen></iframe>`;
	/** @param {string} name @param {string} text */
	const line = (name, text) => [h("dt", {}, name), h("dd", {}, h("code", {}, text), " ", copy(text, name))];
	return [h("h2", {}, "Links"), h("dl", {}, line("HLS", hls), line("Player", player), line("Embed", embed))];
}

/** @param {string} text @param {string} name */
function copy(text, name) {
	const button = h("button", { type: "button", "aria-label": "Copy: " + name, click: async () => {
		try {
			await navigator.clipboard.writeText(text);
			button.textContent = "Copied";
		} catch {
			button.textContent = "Cannot copy here";
		}
		setTimeout(() => (button.textContent = "Copy"), 2000);
	} }, "Copy");
	return button;
}

/** @param {any} p asset.json */
function renditions(p) {
	/** @type {(Node | string)[][]} */
	const rows = p.ladders.flatMap((/** @type {any} */ l) => (l.renditions ?? []).map((/** @type {any} */ r) => [l.name, l.projection, r.name ?? "", r.width ? `${r.width}×${r.height}` : "", (r.average_bandwidth / 1e6).toFixed(2), (r.peak_bandwidth / 1e6).toFixed(2)]));
	return rows.length > 0 && [h("h2", {}, "Renditions"), table(["Ladder", "Projection", "Rendition", "Size", "Average, Mb/s", "Peak, Mb/s"], rows, "Renditions")];
}

/** @param {any[]} all */
function jobs(all) {
	const rows = all.toReversed().map((j) => [h("a", { href: "/jobs/" + j.job }, j.job), badge(j.state), j.profile, when(j.planned),
		j.effort?.slot_s ? `${clock(j.effort.slot_s)} of work` + (j.effort.usd ? `, ${j.effort.usd.toFixed(4)} USD` : "") : `${j.done} of ${j.parts} parts`]);
	const keep = all.find((j) => j.state === "published")?.keep;
	return [keep && h("p", {}, "Its profile keeps it for so long: " + Object.entries(keep).map(([what, age]) => `${what} ${age}`).join(", ") + "."),
		h("h2", {}, "Jobs"), table(["Job", "State", "Profile", "Planned", "Effort"], rows, "Jobs")];
}
