// The fields of a form for a live job: texts, and the definition that they are.
import { parse } from "../api.js";
import { asText, coded, h, replace } from "../dom.js";
import { t } from "../language.js";

const MORE = "more";
export const FIELDS = [
  {
    name: "namespace",
    label: t("Namespace"),
    hint: t("Of the PgmqPeriodicOperator that ticks it; a new one is made."),
    list: "namespaces",
    fixed: true,
  },
  { name: "name", label: t("Name"), hint: t("Letters, digits, _, . and -"), fixed: true },
  {
    name: "schedule",
    label: t("Schedule"),
    hint: t(
      'A cron such as `0 6 * * 1-5`, or JSON: `{"every": "15m"}`, `{"at": "2026-06-01T06:00:00Z"}`, `{"rrule": "…"}`',
    ),
    read: (text) => (text.trim().startsWith("{") ? parse(text) : text.trim()),
    write: (value) => (typeof value === "object" ? JSON.stringify(value) : value),
    wide: true,
  },
  { name: "timezone", label: t("Time zone"), hint: t("Such as Europe/Berlin; UTC if it is empty."), list: "zones" },
  { name: "queue_name", label: t("Queue"), hint: t("It must exist."), list: "queues" },
  {
    name: "message",
    label: t("Message"),
    hint: t("JSON, with templates such as `{{ ds }}` in its strings; `{}` if it is empty."),
    rows: 5,
    read: parse,
    write: (value) => JSON.stringify(value, null, 2),
  },
  {
    name: MORE,
    label: t("More fields"),
    hint: t(
      'JSON, such as `{"ttl": "1h", "exclude": ["weekends"], "catch_up": "last", "expect_within": "10m"}`',
    ),
    rows: 4,
    read: readMore,
    write: (value) => (Object.keys(value).length ? JSON.stringify(value, null, 2) : ""),
  },
];
const OWN = FIELDS.map(({ name }) => name);

function readMore(text) {
  const value = parse(text);
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new SyntaxError(t("write an object: names of fields with their values"));
  const twice = Object.keys(value).find((name) => OWN.includes(name));
  if (twice) throw new SyntaxError(t("{field} has a field of its own above", { field: twice }));
  return value;
}

export class JobFields {
  // `onChange` is called after each change; `lists` are words to choose from, by name.
  constructor({ values, isNew, lists, onChange }) {
    this.touched = new Set();
    this.parts = new Map(FIELDS.map((field) => [field.name, this.#part(field, isNew, lists, onChange)]));
    this.element = h(
      "div",
      { class: "fields-of-job" },
      [...this.parts.values()].map(({ element }) => element),
    );
    this.fill(values);
  }

  // `values`: the namespace, and a definition as documents have it.
  fill({ namespace, ...definition }) {
    const more = Object.fromEntries(
      Object.entries(definition).filter(([name]) => !OWN.includes(name) && name !== "version"),
    );
    for (const { name, write = asText } of FIELDS) {
      const value = name === MORE ? more : name === "namespace" ? namespace : definition[name];
      this.parts.get(name).input.value = value === undefined || value === null ? "" : write(value);
    }
  }

  // The definition, and what cannot be read of it: {namespace, definition, problems}.
  read() {
    const definition = {};
    const problems = [];
    for (const { name, read = (text) => text.trim() } of FIELDS) {
      const text = this.parts.get(name).input.value;
      if (!text.trim() || name === "namespace") continue;
      try {
        const value = read(text);
        if (name === MORE) Object.assign(definition, value);
        else definition[name] = value;
      } catch (error) {
        problems.push({ field: name, text: t("This is not JSON: {reason}.", { reason: error.message }) });
      }
    }
    return { namespace: this.parts.get("namespace").input.value.trim(), definition, problems };
  }

  // Show problems at their fields; `all`: also of fields that were not touched yet. Returns those of no field.
  tell(problems, all) {
    const at = (field) => (field === "cron" ? "schedule" : OWN.includes(field) ? field : field && MORE);
    for (const [name, { input, problem }] of this.parts) {
      const own = all || this.touched.has(name) ? problems.filter(({ field }) => at(field) === name) : [];
      replace(
        problem,
        own.map(({ text }) => h("span", {}, coded(text))),
      );
      input.setAttribute("aria-invalid", String(own.length > 0));
    }
    return problems.filter(({ field }) => !at(field));
  }

  #part({ name, label, hint, list, rows, wide, fixed }, isNew, lists, onChange) {
    const id = `job-${name}`;
    const change = () => {
      this.touched.add(name);
      onChange();
    };
    const props = {
      id,
      spellcheck: "false",
      autocomplete: "off",
      autocapitalize: "off",
      "aria-describedby": `${id}-hint ${id}-problem`,
      readonly: fixed && !isNew,
      oninput: change,
    };
    const input = rows
      ? h("textarea", { ...props, rows })
      : h("input", { ...props, type: "text", list: list && `${id}-list` });
    const problem = h("p", { class: "field-problem", id: `${id}-problem` });
    const element = h(
      "div",
      { class: rows || wide ? "field wide" : "field" },
      h("label", { for: id }, label),
      input,
      list &&
        h(
          "datalist",
          { id: `${id}-list` },
          (lists[list] ?? []).map((value) => h("option", { value })),
        ),
      h("p", { class: "sub", id: `${id}-hint` }, coded(hint)),
      problem,
    );
    return { element, input, problem };
  }
}
