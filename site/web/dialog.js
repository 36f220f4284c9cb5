// Asks before something is done.
import { byId, h } from "./dom.js";

/**
 * Shows a question, and does what it is about if whoever is asked agrees. What goes wrong is said in it, and can be tried again.
 * @param {string} title @param {import("./dom.js").Child[]} body @param {string} verb @param {() => Promise<void>} act @param {boolean} [grave]
 * @returns {Promise<boolean>} whether it was done
 */
export function ask(title, body, verb, act, grave = false) {
	const dialog = /** @type {HTMLDialogElement} */ (byId("dialog"));
	return new Promise((answer) => {
		let done = false, busy = false;
		const wrong = h("p", { role: "alert" }), button = h("button", { class: grave && "grave" }, verb);
		/** @param {Event} e */
		const submit = async (e) => {
			e.preventDefault();
			busy = button.disabled = cancel.disabled = true;
			wrong.textContent = "";
			try {
				await act();
				done = true;
				busy = false;
				dialog.close();
			} catch (e) {
				wrong.textContent = e instanceof Error ? e.message : String(e);
				busy = button.disabled = cancel.disabled = false;
			}
		};
		/** @param {Event} e */
		const keep = (e) => {
			if (busy) e.preventDefault(); // it is being done
		};
		const cancel = h("button", { type: "button", click: () => dialog.close() }, "Cancel");
		dialog.replaceChildren(h("form", { submit }, h("h2", { id: "question" }, title), body, wrong,
			h("div", { class: "row" }, button, cancel)));
		dialog.setAttribute("aria-labelledby", "question");
		dialog.addEventListener("cancel", keep);
		dialog.addEventListener("close", () => {
			dialog.removeEventListener("cancel", keep);
			answer(done);
		}, { once: true });
		dialog.showModal();
	});
}
