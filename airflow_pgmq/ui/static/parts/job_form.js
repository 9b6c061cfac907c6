// A form for a live job. What would happen is shown while one types; nothing is lost if somebody else was first.
import { api, get, post } from "../api.js";
import { coded, h, replace } from "../dom.js";
import { exact, zone } from "../format.js";
import { open } from "./dialog.js";
import { time } from "./job.js";
import { JobFields } from "./job_fields.js";

// After the last key, before the server is asked.
const PAUSE = 300;
const CHANGED = 409;

// Resolves to what was put, {namespace, name, version}, or to null. `job`: {namespace, version, definition} to edit,
// or null for a new one; `words` are those to choose from.
export function jobForm({ connectionId, job = null, lists = {} }) {
  return new Promise((resolve) => new Form(connectionId, job, lists, resolve));
}

export async function words(connectionId, namespaces) {
  const known = await get(api(connectionId, "queues")).catch(() => ({ queues: [] }));
  return {
    namespaces,
    queues: known.queues.map(({ queue_name }) => queue_name),
    zones: Intl.supportedValuesOf?.("timeZone") ?? [],
  };
}

class Form {
  constructor(connectionId, job, lists, resolve) {
    Object.assign(this, { connectionId, job, version: job?.version ?? 0, done: null });
    const values = job
      ? { ...job.definition, namespace: job.namespace }
      : { timezone: zone, namespace: lists.namespaces?.[0] };
    this.fields = new JobFields({ values, isNew: !job, lists, onChange: () => this.#later() });
    this.next = h("div", { class: "coming", role: "status" });
    this.problem = h("div", { class: "dialog-problem", role: "alert" });
    this.off = h("button", { type: "button", onclick: () => this.dialog.close() }, "Cancel");
    this.go = h("button", { type: "submit", class: "primary" }, job ? "Save" : "Add");
    this.dialog = h(
      "dialog",
      { class: "form", "aria-labelledby": "form-title" },
      h("h2", { id: "form-title" }, job ? `Edit ${job.definition.name}` : "Add a live job"),
      job && h("p", { class: "hint" }, "Values shown as *** are hidden: they stay as they are."),
      h(
        "form",
        { novalidate: true, onsubmit: (event) => this.#submit(event) },
        this.fields.element,
        this.next,
        this.problem,
        h("div", { class: "dialog-actions" }, this.off, this.go),
      ),
    );
    open(
      this.dialog,
      () => this.off.disabled,
      () => {
        clearTimeout(this.timer);
        this.asking?.abort();
        resolve(this.done);
      },
    );
    this.#preview(false);
  }

  #later() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#preview(false), PAUSE);
  }

  // Ask what the job would be; returns whether nothing is wrong.
  async #preview(all) {
    clearTimeout(this.timer);
    this.asking?.abort();
    const asking = (this.asking = new AbortController());
    const { namespace, definition, problems } = this.fields.read();
    try {
      const found = await post(api(this.connectionId, "preview"), { definition }, asking.signal);
      // What could not be read here is not missing there.
      const unread = new Set(problems.map(({ field }) => field));
      const wrong = [...problems, ...found.problems.filter(({ field }) => !unread.has(field))];
      if (!namespace) wrong.push({ field: "namespace", text: "namespace is missing" });
      const others = this.fields.tell(wrong, all);
      if (all || this.fields.touched.size) this.#say(others.map(({ text }) => h("p", {}, coded(text))));
      replace(this.next, coming(found));
      return !wrong.length;
    } catch (error) {
      if (error.name !== "AbortError") this.#say(coded(error.message));
      return false;
    }
  }

  async #submit(event) {
    event.preventDefault();
    if (this.go.disabled) return;
    this.#busy(true);
    if (await this.#preview(true)) await this.#put();
    this.#busy(false);
    if (this.done) this.dialog.close();
    else this.dialog.querySelector("[aria-invalid=true]")?.focus();
  }

  async #put() {
    const { namespace, definition } = this.fields.read();
    const { name } = definition;
    try {
      const path = api(this.connectionId, "jobs", namespace, name, "put");
      const { version } = await post(path, { definition, expected_version: this.version });
      this.done = { namespace, name, version };
    } catch (error) {
      const load = h(
        "button",
        { type: "button", onclick: () => this.#load(namespace, name) },
        "Load what is there now",
      );
      this.#say([
        h("p", {}, coded(error.message)),
        error.status === CHANGED && h("p", {}, "What you typed is still here. ", load, " in its place."),
      ]);
    }
  }

  // What somebody else has put meanwhile, in place of what was typed.
  async #load(namespace, name) {
    try {
      const { job, definition } = await get(api(this.connectionId, "jobs", namespace, name));
      this.version = job?.version ?? 0;
      if (definition) this.fields.fill({ ...definition, namespace });
      this.#say(null);
      await this.#preview(true);
    } catch (error) {
      this.#say(coded(error.message));
    }
  }

  #say(what) {
    replace(this.problem, what);
  }

  #busy(busy) {
    this.off.disabled = this.go.disabled = busy;
  }
}

function coming({ next_slots, words: said, timezone }) {
  if (!next_slots.length) return timezone ? h("p", { class: "muted" }, "No further runs.") : null;
  return [
    h("p", {}, h("b", {}, said), timezone && h("span", { class: "muted" }, ` ${timezone}`)),
    h(
      "p",
      { class: "sub" },
      `Next, in ${zone}: `,
      next_slots.map((slot, index) => [index ? " · " : "", time(slot)]),
    ),
    h("span", { class: "visually-hidden" }, `First at ${exact(next_slots[0])}`),
  ];
}
