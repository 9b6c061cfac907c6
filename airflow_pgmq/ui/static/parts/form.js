// A dialog with a form. Nothing that was typed is lost if somebody else was first, or if something is wrong.
import { coded, h, replace } from "../dom.js";
import { rich, t } from "../language.js";
import { open } from "./dialog.js";

const CHANGED = 409;

// `submit` resolves to what was put, or to null if it was not; its errors are shown. `load` gets what somebody else
// has put, in place of what was typed. `wrong` is called when nothing was put; `closed` with what was put, or null.
export class FormDialog {
  constructor({ title, hint = null, content, action, submit, load, wrong, closed }) {
    Object.assign(this, { submit, load, wrong, done: null });
    this.problem = h("div", { class: "dialog-problem", role: "alert" });
    this.off = h("button", { type: "button", onclick: () => this.dialog.close() }, t("Cancel"));
    this.go = h("button", { type: "submit", class: "primary" }, action);
    this.dialog = h(
      "dialog",
      { class: "form", "aria-labelledby": "form-title" },
      h("h2", { id: "form-title" }, title),
      hint && h("p", { class: "hint" }, hint),
      h(
        "form",
        { novalidate: true, onsubmit: (event) => this.#submit(event) },
        content,
        this.problem,
        h("div", { class: "dialog-actions" }, this.off, this.go),
      ),
    );
    open(
      this.dialog,
      () => this.off.disabled,
      () => closed(this.done),
    );
  }

  say(what) {
    replace(this.problem, what);
  }

  async #submit(event) {
    event.preventDefault();
    if (this.go.disabled) return;
    this.#busy(true);
    try {
      this.done = await this.submit();
    } catch (error) {
      this.#tell(error);
    }
    this.#busy(false);
    if (this.done) this.dialog.close();
    else this.wrong();
  }

  #tell(error) {
    const load = h("button", { type: "button", onclick: () => this.#load() }, t("Load what is there now"));
    this.say([
      h("p", {}, coded(error.message)),
      error.status === CHANGED && h("p", {}, rich("What you typed is still here. {load} in its place.", { load })),
    ]);
  }

  async #load() {
    try {
      this.say(null);
      await this.load();
    } catch (error) {
      this.say(coded(error.message));
    }
  }

  #busy(busy) {
    this.off.disabled = this.go.disabled = busy;
  }
}
