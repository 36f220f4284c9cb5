// Asks before something is done.
import { byId, h } from "./dom.js";

/**
 * Shows a question, and does what it is about if whoever is asked agrees. What goes wrong is said in it, and can be tried again.
 * @param {string} title @param {(Node | string)[]} body @param {string} verb @param {() => Promise<void>} act @param {boolean} [grave]
 * @returns {Promise<boolean>} whether it was done
 */
export function ask(title, body, verb, act, grave = false) {
	const dialog = /** @type {HTMLDialogElement} */ (byId("dialog"));
	return new Promise((answer) => {
		let done = false;
		const wrong = h("p", { role: "alert" }), button = h("button", { class: grave && "grave" }, verb);
		/** @param {Event} e */
		const submit = async (e) => {
			e.preventDefault();
			button.disabled = true;
			wrong.textContent = "";
			try {
				await act();
				done = true;
				dialog.close();
			} catch (e) {
				wrong.textContent = e instanceof Error ? e.message : String(e);
				button.disabled = false;
			}
		};
		dialog.replaceChildren(h("form", { submit }, h("h2", { id: "question" }, title), ...body, wrong,
			h("div", { class: "row" }, button, h("button", { type: "button", click: () => dialog.close() }, "Cancel"))));
		dialog.setAttribute("aria-labelledby", "question");
		dialog.addEventListener("close", () => answer(done), { once: true });
		dialog.showModal();
	});
}
