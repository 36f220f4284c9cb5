// Which page is shown, by the address; who is logged in.
import { about, call, listen, site, token } from "./api.js";
import { ask } from "./dialog.js";
import { byId, h, show } from "./dom.js";
import { failures } from "./failures.js";
import { job } from "./job.js";
import { recording } from "./recording.js";
import { recordings } from "./recordings.js";
import { work } from "./work.js";

/** What a page is given. @typedef {{ path: string[], query: URLSearchParams, signal: AbortSignal }} Visit */
/** @type {Record<string, (visit: Visit) => Promise<void>>} */
const pages = { "": recordings, recordings: recording, work, failures, jobs: job };
const operators = ["work", "failures", "jobs"];

let leave = new AbortController();

/** Says what is wrong, above the page. @param {unknown} error */
export function fault(error) {
	const text = error ? String(error instanceof Error ? error.message : error) : "";
	byId("fault").hidden = !text;
	byId("fault").textContent = text;
}

/** Shows the page of the present address. @param {boolean} [fresh] that it is another than before: what is read out begins with it */
export async function visit(fresh = false) {
	leave.abort();
	leave = new AbortController();
	const { signal } = leave;
	shown = location.pathname + location.search;
	/** @type {HTMLDialogElement} */ (byId("dialog")).close();
	const [name = "", ...path] = location.pathname.split("/").filter(Boolean).map(decodeURIComponent);
	for (const a of document.querySelectorAll("nav a")) {
		const here = a.getAttribute("href") === "/" + (name === "recordings" ? "" : name);
		a.toggleAttribute("aria-current", here);
		if (here) a.setAttribute("aria-current", "page");
	}
	fault("");
	try {
		const page = pages[name];
		if (!page) throw new Error("There is no such page.");
		if (operators.includes(name) && !site.operator) return denied();
		await page({ path, query: new URLSearchParams(location.search), signal });
		if (fresh) byId("page").focus();
	} catch (e) {
		if (signal.aborted) return;
		fault(e);
		show(h("h1", {}, "That did not work"), h("p", {}, h("a", { href: "/" }, "All recordings"), " ", h("button", { type: "button", click: () => visit() }, "Try again")));
	}
}

function denied() {
	document.title = "Operators – afterlive";
	show(h("h1", {}, "For operators"), h("p", {}, site.login ? "Log in to see what is at work and what has failed." : "This server knows no operators. Start it with --token-file FILE, which has a token on each line."));
}

/** Goes to another page of the site. @param {string} address */
export function go(address) {
	history.pushState(null, "", address);
	void visit(true);
}

document.addEventListener("click", (e) => {
	const a = e.target instanceof Element ? e.target.closest("a") : null;
	if (!a || e.defaultPrevented || e.button || e.metaKey || e.ctrlKey || e.shiftKey || a.target || a.origin !== location.origin || a.hash) return;
	const first = a.pathname.split("/")[1] ?? "";
	if (!(first in pages)) return;
	e.preventDefault();
	go(a.href);
});
let shown = location.pathname + location.search;
addEventListener("popstate", () => {
	if (location.pathname + location.search !== shown) void visit(true); // not within the page
});

/** Shows what only operators see. */
function dress() {
	for (const a of document.querySelectorAll(".operators")) a.toggleAttribute("hidden", !site.operator);
	const login = byId("login");
	login.hidden = !site.login;
	login.textContent = token.get() && site.operator ? "Log out" : "Log in";
	heard.abort();
	heard = new AbortController();
	if (site.operator) void listen(heard.signal, (event, data) => dispatchEvent(new CustomEvent("afterlive:" + event, { detail: data })));
}
let heard = new AbortController();
addEventListener("afterlive:work", (e) => {
	const n = /** @type {CustomEvent} */ (e).detail.failed;
	byId("failed").hidden = !n;
	byId("failed").textContent = n;
	if (lost && byId("fault").textContent === lost) fault("");
	lost = "";
});
let lost = ""; // what the server told of last that it could not do
addEventListener("afterlive:fault", (e) => {
	lost = /** @type {CustomEvent} */ (e).detail.error;
	fault(lost);
});

byId("login").addEventListener("click", async () => {
	if (token.get() && site.operator) {
		token.set("");
	} else {
		const field = h("input", { type: "password", name: "token", autocomplete: "current-password", required: true, "aria-label": "Token" });
		const logIn = async () => {
			const value = field.value.trim();
			if (!/^[\x21-\x7e][\x20-\x7e]*$/.test(value)) throw new Error("That is not an operator's token.");
			token.set(value);
			const known = await call("GET", "site").catch(() => ({}));
			if (known.operator) return;
			token.set("");
			throw new Error("That is not an operator's token.");
		};
		if (!(await ask("Log in", [h("p", {}, "The token is in the file that this server was started with."), field], "Log in", logIn))) return;
	}
	await about();
	dress();
	await visit();
});

try {
	await about();
	dress();
	await visit();
} catch (e) {
	fault(e);
}
