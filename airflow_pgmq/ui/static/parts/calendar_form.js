// A form for a calendar: its days as lines of text.
import { isName } from "../address.js";
import { api, get, post } from "../api.js";
import { coded, h } from "../dom.js";
import { t } from "../language.js";
import { FormDialog } from "./form.js";

// Resolves to {name, days, taken_back}, or to null. `calendar`: {name, version, text} to edit, or null for a new one;
// `name` is suggested for a new one.
export function calendarForm({ connectionId, calendar = null, name = "" }) {
  return new Promise((resolve) => new Form(connectionId, calendar, name, resolve));
}

class Form {
  constructor(connectionId, calendar, name, resolve) {
    Object.assign(this, { connectionId, version: calendar?.version ?? 0 });
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
    this.form = new FormDialog({
      title: calendar ? t("Edit calendar {name}", { name: calendar.name }) : t("Add a calendar"),
      content: [
        field(this.name, t("Name"), t("Letters, digits, `_`, `.` and `-`; jobs name it in `exclude`.")),
        field(this.days, t("Days off"), t("A line for each: `2026-12-25 Christmas`. The reason may be left out.")),
      ],
      action: calendar ? t("Save") : t("Add"),
      submit: () => this.#put(),
      load: () => this.#load(),
      wrong: () => (this.#typed() ? this.days : this.name).focus(),
      closed: resolve,
    });
    (calendar ? this.days : this.name).focus();
  }

  // The name; empty if it cannot be one.
  #typed() {
    const name = this.name.value.trim();
    return isName(name) ? name : "";
  }

  async #put() {
    const name = this.#typed();
    if (!name) {
      this.form.say(t("Give the calendar a name."));
      return null;
    }
    const body = { text: this.days.value, expected_version: this.version };
    return { name, ...(await post(api(this.connectionId, "calendars", name, "put"), body)) };
  }

  async #load() {
    try {
      const found = await get(api(this.connectionId, "calendars", this.#typed()));
      this.version = found.version;
      this.days.value = found.text;
    } catch (error) {
      // It is gone: what was typed makes it again.
      if (error.status === 404) this.version = 0;
      throw error;
    } finally {
      this.days.focus();
    }
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
