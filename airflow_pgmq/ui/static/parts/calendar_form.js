// A form for a calendar: its days as lines of text. Nothing is lost if somebody else was first.
import { isName } from "../address.js";
import { api, get, post } from "../api.js";
import { coded, h, replace } from "../dom.js";
import { open } from "./dialog.js";

const CHANGED = 409;

// Resolves to {name, days, taken_back}, or to null. `calendar`: {name, version, text} to edit, or null for a new one;
// `name` is suggested for a new one.
export function calendarForm({ connectionId, calendar = null, name = "" }) {
  return new Promise((resolve) => new Form(connectionId, calendar, name, resolve));
}

class Form {
  constructor(connectionId, calendar, name, resolve) {
    Object.assign(this, { connectionId, version: calendar?.version ?? 0, done: null });
    const same = { spellcheck: "false", autocomplete: "off", autocapitalize: "off" };
    this.name = h("input", {
      ...same,
      id: "calendar-name",
      type: "text",
      "aria-describedby": "calendar-name-hint",
      value: calendar?.name ?? name,
      readonly: Boolean(calendar),
    });
    this.days = h("textarea", {
      ...same,
      id: "calendar-days",
      rows: 14,
      "aria-describedby": "calendar-days-hint",
      value: calendar?.text ?? "",
    });
    this.problem = h("div", { class: "dialog-problem", role: "alert" });
    this.off = h("button", { type: "button", onclick: () => this.dialog.close() }, "Cancel");
    this.go = h("button", { type: "submit", class: "primary" }, calendar ? "Save" : "Add");
    this.dialog = h(
      "dialog",
      { class: "form", "aria-labelledby": "form-title" },
      h("h2", { id: "form-title" }, calendar ? `Edit calendar ${calendar.name}` : "Add a calendar"),
      h(
        "form",
        { novalidate: true, onsubmit: (event) => this.#submit(event) },
        field(this.name, "Name", "Letters, digits, `_`, `.` and `-`; jobs name it in `exclude`."),
        field(this.days, "Days off", "A line for each: `2026-12-25 Christmas`. The reason may be left out."),
        this.problem,
        h("div", { class: "dialog-actions" }, this.off, this.go),
      ),
    );
    open(
      this.dialog,
      () => this.off.disabled,
      () => resolve(this.done),
    );
    (calendar ? this.days : this.name).focus();
  }

  async #submit(event) {
    event.preventDefault();
    if (this.go.disabled) return;
    const name = this.name.value.trim();
    if (!isName(name)) return this.#say("Give the calendar a name.", this.name);
    this.#busy(true);
    try {
      const body = { text: this.days.value, expected_version: this.version };
      this.done = { name, ...(await post(api(this.connectionId, "calendars", name, "put"), body)) };
    } catch (error) {
      const load = h("button", { type: "button", onclick: () => this.#load(name) }, "Load what is there now");
      this.#say([
        h("p", {}, coded(error.message)),
        error.status === CHANGED && h("p", {}, "What you typed is still here. ", load, " in its place."),
      ]);
    }
    this.#busy(false);
    if (this.done) this.dialog.close();
    else this.days.focus();
  }

  // What somebody else has put meanwhile, in place of what was typed; nothing if it is gone.
  async #load(name) {
    try {
      const found = await get(api(this.connectionId, "calendars", name));
      this.version = found.version;
      this.days.value = found.text;
      this.#say(null, this.days);
    } catch (error) {
      if (error.status === 404) this.version = 0;
      this.#say(coded(error.message), this.days);
    }
  }

  #say(what, then) {
    replace(this.problem, what);
    then?.focus();
  }

  #busy(busy) {
    this.off.disabled = this.go.disabled = busy;
  }
}

const field = (input, label, hint) =>
  h(
    "div",
    { class: "field" },
    h("label", { for: input.id }, label),
    input,
    h("p", { class: "sub", id: `${input.id}-hint` }, coded(hint)),
  );
