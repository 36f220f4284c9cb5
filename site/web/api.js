// The HTTP API. An operator's token is kept for as long as the tab is open.

const storage = "afterlive-token";

/** @type {{ version: string, media: string, operator: boolean, login: boolean, uploads: boolean }} */
export let site = { version: "", media: "", operator: false, login: false, uploads: false };

/** Finds out what this site is, and whether whoever looks is an operator. */
export async function about() {
	site = await call("GET", "site");
	return site;
}

export const token = {
	get: () => sessionStorage.getItem(storage) ?? "",
	/** @param {string} value */
	set: (value) => (value ? sessionStorage.setItem(storage, value) : sessionStorage.removeItem(storage)),
};

/** An answer that says what went wrong. */
export class Refused extends Error {
	/** @param {number} status @param {string} message */
	constructor(status, message) {
		super(message);
		this.status = status;
	}
}

/** @param {AbortSignal} [signal] @returns {RequestInit} */
const options = (signal) => ({ headers: token.get() ? { Authorization: "Bearer " + token.get() } : {}, signal, cache: "no-store" });

/**
 * Calls the API.
 * @param {string} method @param {string} path below /api/v1/ @param {unknown} [body] @param {AbortSignal} [signal]
 * @returns {Promise<any>}
 */
export async function call(method, path, body, signal) {
	let response;
	try {
		response = await fetch("/api/v1/" + path, { ...options(signal), method, body: body === undefined ? undefined : JSON.stringify(body) });
	} catch (e) {
		if (signal?.aborted) throw e;
		throw new Refused(0, "The server cannot be reached.");
	}
	const answer = await response.json().catch(() => ({ error: response.statusText }));
	if (!response.ok) throw new Refused(response.status, answer.error);
	return answer;
}

/**
 * Hears of changes until the signal says stop, and again after a pause where the connection is lost.
 * @param {AbortSignal} signal @param {(event: string, data: any) => void} hear
 */
export async function listen(signal, hear) {
	while (!signal.aborted) {
		try {
			const response = await fetch("/api/v1/events", options(signal));
			if (!response.ok || !response.body) throw new Refused(response.status, "The server tells of no changes.");
			const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
			for (let text = ""; ; ) {
				const { done, value } = await reader.read();
				if (done) break;
				const events = (text + value).split("\n\n");
				text = events.pop() ?? "";
				for (const e of events) {
					const [, name, data] = e.match(/^event: (.*)\ndata: (.*)$/) ?? [];
					if (name && data) hear(name, JSON.parse(data));
				}
			}
		} catch (e) {
			if (signal.aborted) return;
			hear("fault", { error: e instanceof Refused && e.status ? e.message : "The server cannot be reached. Trying again…" });
		}
		await new Promise((done) => setTimeout(done, 2000));
	}
}
