// Uploads a recording, by tus 1.0: whatever breaks it off, it goes on where it was; also later, if the same file is chosen again.
import { call, Refused, site, token } from "./api.js";
import { h, pageOf } from "./dom.js";

const piece = 8 << 20; // bytes at once: what is lost with a connection, and how often one sees that it goes on
const patience = 30_000; // ms between tries, at most

/** @param {string} method @param {string} address @param {Record<string, string>} headers @param {Blob} [body] @param {AbortSignal} [signal] */
const ask = (method, address, headers, body, signal) => fetch(address, { method, body, signal, headers: { "Tus-Resumable": "1.0.0", ...(token.get() ? { Authorization: "Bearer " + token.get() } : {}), ...headers } });

/** @param {Response} response */
async function refused(response) {
	const answer = await response.json().catch(() => ({ error: response.statusText }));
	return new Refused(response.status, answer.error);
}

/** As tus wants it. @param {Record<string, string>} pairs */
const metadata = (pairs) => Object.entries(pairs).filter(([, v]) => v).map(([k, v]) => k + " " + btoa(String.fromCharCode(...new TextEncoder().encode(v)))).join(",");

/**
 * @param {File} file @param {Record<string, string>} about - filename, as, profile, title
 * @param {(sent: number) => void} told - how many bytes have come, or -1: the server is away
 * @param {AbortSignal} signal
 */
async function send(file, about, told, signal) {
	const kept = `afterlive-upload:${file.size}:${file.lastModified}:${metadata(about)}`;
	let address = localStorage.getItem(kept) ?? "", offset = -1; // not known
	for (let wait = 1000; ; ) {
		try {
			if (!address) {
				const made = await ask("POST", "/api/v1/uploads", { "Upload-Length": String(file.size), "Upload-Metadata": metadata(about) }, undefined, signal);
				if (made.status !== 201) throw await refused(made);
				address = "/api/v1/uploads/" + (made.headers.get("Location") ?? "").split("/").at(-1);
				localStorage.setItem(kept, address);
				offset = 0;
			} else if (offset < 0) {
				const known = await ask("HEAD", address, {}, undefined, signal);
				if (known.status === 404 || known.status === 410) address = ""; // it was removed, or taken
				else if (!known.ok) throw new Refused(known.status, known.statusText);
				else offset = Number(known.headers.get("Upload-Offset"));
				if (!address) continue;
				const job = known.headers.get("Afterlive-Job");
				if (job) { // all of it had come, and the answer was lost
					localStorage.removeItem(kept);
					return job;
				}
			}
			told(offset);
			const sent = await ask("PATCH", address, { "Upload-Offset": String(offset), "Content-Type": "application/offset+octet-stream" }, file.slice(offset, offset + piece), signal);
			if (!sent.ok) throw await refused(sent);
			offset = Number(sent.headers.get("Upload-Offset"));
			wait = 1000;
			if (offset < file.size) continue;
			told(offset);
			localStorage.removeItem(kept);
			return sent.headers.get("Afterlive-Job") ?? "";
		} catch (e) {
			if (signal.aborted) throw e;
			if (e instanceof Refused && e.status < 500) {
				localStorage.removeItem(kept);
				throw e;
			}
			if (e instanceof Refused && offset >= 0 && offset + piece >= file.size) throw e; // it has come, and the server tries again by itself
			told(-1);
			offset = -1;
			await new Promise((done) => setTimeout(done, wait));
			wait = Math.min(2 * wait, patience);
		}
	}
}

/** A form for operators. @param {AbortSignal} signal */
export function uploading(signal) {
	if (!site.operator || !site.uploads) return false;
	const file = h("input", { type: "file", accept: ".flv,video/x-flv", id: "upload-file", required: true }), name = h("input", { id: "upload-name", placeholder: "the file's", autocomplete: "off" });
	const title = h("input", { id: "upload-title", placeholder: "none", autocomplete: "off", dir: "auto" }), profile = h("input", { id: "upload-profile", placeholder: "auto", autocomplete: "off" });
	const bar = h("progress", { "aria-label": "Uploaded", hidden: true }), said = h("p", { role: "status" }), start = h("button", { id: "upload" }, "Upload");
	/** @param {SubmitEvent} e */
	const submit = async (e) => {
		e.preventDefault();
		const chosen = file.files?.[0];
		if (!chosen || start.disabled) return;
		start.disabled = true;
		bar.max = chosen.size;
		bar.hidden = false;
		/** @param {number} sent */
		const told = (sent) => {
			if (sent >= 0) bar.value = sent;
			said.textContent = sent < 0 ? "The server cannot be reached. Trying again…" : `${(sent / 1e6).toFixed(1)} of ${(chosen.size / 1e6).toFixed(1)} MB. If you leave this page, choose the file again to go on.`;
		};
		try {
			const job = await send(chosen, { filename: chosen.name, as: name.value.trim(), title: title.value.trim(), profile: profile.value.trim() }, told, signal);
			const known = job && (await call("GET", "jobs/" + job, undefined, signal).catch(() => undefined));
			said.replaceChildren("It is uploaded, and waits for a worker. ", known ? h("a", { href: pageOf(known.status.asset) }, known.status.asset) : h("a", { href: "/work" }, "Work"));
			file.value = "";
		} catch (e) {
			if (!signal.aborted) said.textContent = e instanceof Error ? e.message : String(e);
		}
		bar.hidden = true;
		start.disabled = false;
	};
	return h("details", { id: "uploading" }, h("summary", {}, "Upload a recording"), h("form", { class: "row", submit },
		h("label", {}, "File ", file), h("label", {}, "Name ", name), h("label", {}, "Title ", title), h("label", {}, "Profile ", profile), start, bar), said);
}
