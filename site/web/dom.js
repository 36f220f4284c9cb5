// What pages are built of. Text is always text: nothing here reads HTML.

/** @typedef {Node | string | number | null | undefined | false | readonly unknown[]} Child */

/**
 * An element with attributes and children. A function among the attributes hears the event of that name; false, null and undefined are left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	set(element, attributes);
	element.append(...nodes(children));
	return element;
}

/**
 * The same, of SVG.
 * @param {string} tag
 * @param {Record<string, unknown>} [attributes]
 * @param {...Child} children
 */
export function svg(tag, attributes = {}, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	set(element, attributes);
	element.append(...nodes(children));
	return element;
}

/** @param {Element} element @param {Record<string, unknown>} attributes */
function set(element, attributes) {
	for (const [name, value] of Object.entries(attributes)) {
		if (typeof value === "function") element.addEventListener(name, /** @type {EventListener} */ (value));
		else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value === true ? "" : String(value));
	}
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function nodes(children) {
	return children.flatMap((c) => {
		if (Array.isArray(c)) return nodes(/** @type {Child[]} */ (c));
		return c === null || c === undefined || c === false ? [] : [c instanceof Node ? c : String(c)];
	});
}

/** The element of the page with an id. @param {string} id @returns {HTMLElement} */
export function byId(id) {
	const element = document.getElementById(id);
	if (!element) throw new Error("there is no element " + id);
	return element;
}

/** Shows a page. The focus stays where it is if the same element, by its id, is there again. @param {...Child} children */
export function show(...children) {
	const page = byId("page"), had = document.activeElement?.id, open = [...page.querySelectorAll("details[open]")].map((d) => d.id);
	page.replaceChildren(...nodes(children));
	for (const id of open) if (id) document.getElementById(id)?.setAttribute("open", "");
	if (had && had !== "page" && document.activeElement?.id !== had) document.getElementById(had)?.focus({ preventScroll: true });
}

/** Whether the page may be shown anew by itself: not while somebody selects text in it, or is asked something. */
export const quiet = () => !document.querySelector("dialog[open]") && (getSelection()?.isCollapsed ?? true);

/** A table with a head; on a phone, each row becomes a list. @param {string[]} head @param {Child[][]} rows @param {string} caption */
export function table(head, rows, caption) {
	return h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption },
		h("table", {}, h("thead", {}, h("tr", {}, head.map((t) => h("th", { scope: "col" }, t)))), h("tbody", {}, rows.map((row) => h("tr", {}, row.map((c, i) => h("td", { "data-head": head[i] }, h("div", {}, c))))))));
}

/** Seconds as 1:02:03. @param {number} seconds */
export function clock(seconds) {
	const n = Math.round(seconds), two = (/** @type {number} */ x) => String(x).padStart(2, "0");
	return n < 3600 ? `${Math.floor(n / 60)}:${two(n % 60)}` : `${Math.floor(n / 3600)}:${two(Math.floor(n / 60) % 60)}:${two(n % 60)}`;
}

/** A moment as people say it, with the exact one behind it. @param {string | undefined} time */
export function when(time) {
	if (!time) return h("span", {}, "–");
	const at = new Date(time), ago = (Date.now() - at.getTime()) / 1000;
	const text = ago < 60 && ago > -60 ? "just now" : ago > 0 && ago < 3600 ? `${Math.floor(ago / 60)} min ago` : ago > 0 && ago < 86400 ? `${Math.floor(ago / 3600)} h ago` : at.toLocaleDateString(undefined, { dateStyle: "medium" });
	return h("time", { datetime: time, title: at.toLocaleString(), class: "when" }, text);
}

/** A state, as a badge. @param {string} state */
export const badge = (state) => h("span", { class: "state " + state }, state);

/** The address of an asset's page. @param {string} asset */
export const pageOf = (asset) => "/recordings/" + asset.split("/").map(encodeURIComponent).join("/");
