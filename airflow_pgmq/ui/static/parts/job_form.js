// A form for a live job. What would happen is shown while one types.
import { api, get, post } from "../api.js";
import { coded, h, replace } from "../dom.js";
import { exact, zone } from "../format.js";
import { rich, t } from "../language.js";
import { FormDialog } from "./form.js";
import { time } from "./job.js";
import { JobFields } from "./job_fields.js";

// After the last key, before the server is asked.
const PAUSE = 300;

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
    Object.assign(this, { connectionId, version: job?.version ?? 0 });
    const values = job
      ? { ...job.definition, namespace: job.namespace }
      : { timezone: zone, namespace: lists.namespaces?.[0] };
    this.fields = new JobFields({ values, isNew: !job, lists, onChange: () => this.#later() });
    this.next = h("div", { class: "coming", role: "status" });
    this.form = new FormDialog({
      title: job ? t("Edit {name}", { name: job.definition.name }) : t("Add a live job"),
      hint: job && t("Values shown as *** are hidden: they stay as they are."),
      content: [this.fields.element, this.next],
      action: job ? t("Save") : t("Add"),
      submit: async () => ((await this.#preview(true)) ? this.#put() : null),
      load: () => this.#load(),
      wrong: () => this.form.dialog.querySelector("[aria-invalid=true]")?.focus(),
      closed: (done) => {
        clearTimeout(this.timer);
        this.asking?.abort();
        resolve(done);
      },
    });
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
      if (!namespace) wrong.push({ field: "namespace", text: t("namespace is missing") });
      const others = this.fields.tell(wrong, all);
      if (all || this.fields.touched.size) this.form.say(others.map(({ text }) => h("p", {}, coded(text))));
      replace(this.next, coming(found));
      return !wrong.length;
    } catch (error) {
      if (error.name !== "AbortError") this.form.say(coded(error.message));
      return false;
    }
  }

  async #put() {
    const { namespace, definition } = this.fields.read();
    const path = api(this.connectionId, "jobs", namespace, definition.name, "put");
    const { version } = await post(path, { definition, expected_version: this.version });
    return { namespace, name: definition.name, version };
  }

  async #load() {
    const { namespace, definition: typed } = this.fields.read();
    const { job, definition } = await get(api(this.connectionId, "jobs", namespace, typed.name));
    this.version = job?.version ?? 0;
    if (definition) this.fields.fill({ ...definition, namespace });
    await this.#preview(true);
  }
}

function coming({ next_slots, words: said, timezone }) {
  if (!next_slots.length) return timezone ? h("p", { class: "muted" }, t("No further runs.")) : null;
  return [
    h("p", {}, h("b", {}, said), timezone && h("span", { class: "muted" }, ` ${timezone}`)),
    h(
      "p",
      { class: "sub" },
      rich("Next, in {zone}: {times}", {
        zone,
        times: next_slots.map((slot, index) => [index ? " · " : "", time(slot)]),
      }),
    ),
    h("span", { class: "visually-hidden" }, t("First at {time}", { time: exact(next_slots[0]) })),
  ];
}
