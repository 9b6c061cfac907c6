// A list of messages: details open below the row; actions apply to the chosen ones.
import { asText, h } from "../dom.js";
import { ago, count, exact, instant } from "../format.js";
import { t } from "../language.js";
import { messageDetail, taskLink } from "./message.js";
import { Table, scrolling } from "./table.js";

const PREVIEW = 160;

export class Messages {
  // `columns` come after the id; `onChoose` gets the chosen ids; `alone(message, text)` makes a link to the message
  // alone, for which the API returns even a large payload.
  constructor({ label, mayPeek, alone, columns = [], onChoose = null, sender = true }) {
    Object.assign(this, { alone, onChoose });
    this.chosen = new Set();
    this.open = new Set();
    this.items = [];
    this.table = new Table({
      caption: label,
      key: keyOf,
      columns: [
        onChoose && {
          id: "choose",
          label: t("Choose"),
          hidden: true,
          changes: keyOf,
          cell: (each) => this.#box(each),
        },
        {
          id: "msg_id",
          label: t("Message"),
          changes: (each) => [keyOf(each), this.open.has(keyOf(each))],
          cell: (each) => this.#opener(each),
        },
        ...columns,
        mayPeek && {
          id: "preview",
          label: t("Content"),
          cell: (each) => (each.too_large ? alone(each, t("large: open this message alone")) : preview(each)),
          changes: ({ message, too_large, msg_id }) => (too_large ? asText(msg_id) : message),
        },
        mayPeek && {
          id: "job",
          label: t("Key or job"),
          cell: key,
          changes: ({ dedup_key, job, slot }) => [dedup_key, job, slot],
        },
        mayPeek && sender && {
          id: "source",
          label: t("Sent by"),
          cell: ({ source }) =>
            source?.dag_id ? taskLink(source, { title: source.run_id }) : h("span", { class: "muted" }, "–"),
          changes: ({ source }) => source,
        },
      ].filter(Boolean),
    });
    this.element = scrolling(this.table, label);
  }

  show(items) {
    this.items = items;
    const present = new Set(items.map(keyOf));
    for (const key of this.chosen) if (!present.has(key)) this.chosen.delete(key);
    this.table.show(items);
    for (const key of this.open) this.#detail(key);
    this.element.hidden = !items.length;
    this.#tellChosen();
  }

  // The ids as the API sent them: Number would round ids above 2^53.
  #tellChosen() {
    this.onChoose?.(this.items.filter((each) => this.chosen.has(keyOf(each))).map(({ msg_id }) => msg_id));
  }

  // Open the first message, for a link to it.
  openFirst() {
    if (this.items.length) this.#toggle(keyOf(this.items[0]), true);
  }

  #opener(message) {
    const key = keyOf(message);
    return h(
      "button",
      {
        type: "button",
        class: "opener",
        "aria-expanded": String(this.open.has(key)),
        onclick: () => this.#toggle(key),
      },
      message.msg_id,
    );
  }

  #toggle(key, open = !this.open.has(key)) {
    if (open) this.open.add(key);
    else this.open.delete(key);
    this.#detail(key);
    const row = this.table.rows.get(key);
    row?.node.querySelector(".opener")?.setAttribute("aria-expanded", String(open));
  }

  #detail(key) {
    const message = this.items.find((each) => keyOf(each) === key);
    const row = this.table.rows.get(key);
    const state = JSON.stringify(message);
    if (!this.open.has(key) || !message) this.table.detail(key, null);
    else if (!row.detail || row.shown !== state) this.table.detail(key, messageDetail(message, this.alone));
    if (row) row.shown = row.detail ? state : null;
    for (const each of row?.detail?.querySelectorAll("[data-ago]") ?? [])
      each.textContent = ago(each.dataset.ago);
  }

  #box(message) {
    const key = keyOf(message);
    const box = h("input", {
      type: "checkbox",
      "aria-label": t("Choose message {id}", { id: asText(message.msg_id) }),
      checked: this.chosen.has(key),
      onchange: () => {
        if (box.checked) this.chosen.add(key);
        else this.chosen.delete(key);
        this.#tellChosen();
      },
    });
    return box;
  }
}

const keyOf = ({ queue_name, msg_id }) => (queue_name ? `${queue_name}/` : "") + asText(msg_id);

export const moment = (id, label, of) => ({
  id,
  label,
  changes: of,
  cell: (each) => {
    const iso = of(each);
    return h("time", { datetime: iso, title: exact(iso) }, instant(iso));
  },
});

const STATES = {
  visible: t("visible"),
  in_flight: t("in flight"),
  delayed: t("delayed"),
  archived: t("archived"),
};

export const STATE = {
  id: "state",
  label: t("State"),
  changes: ({ state }) => state,
  cell: ({ state }) => h("span", { class: `state ${state}` }, STATES[state] ?? state),
};

export const READS = {
  id: "read_ct",
  label: t("Reads"),
  numeric: true,
  changes: ({ read_ct, dead_letter }) => [read_ct, dead_letter?.tries],
  // A dead letter is a new, unread message: also show the tries before.
  cell: ({ read_ct, dead_letter }) => [
    count(read_ct),
    triesOf(dead_letter) === null
      ? null
      : h("span", { class: "sub" }, t("failed after {count} tries", { count: dead_letter.tries })),
  ],
};

export const TRIES = {
  id: "tries",
  label: t("Tries"),
  numeric: true,
  changes: ({ dead_letter }) => dead_letter?.tries,
  cell: ({ dead_letter }) => count(triesOf(dead_letter)),
};

const triesOf = (dead_letter) => dead_letter?.tries ?? null;

function preview({ message }) {
  if (message === undefined) return h("span", { class: "muted" }, "–");
  const text = JSON.stringify(message) ?? "null";
  return h("span", { class: "preview" }, text.length > PREVIEW ? `${text.slice(0, PREVIEW)}…` : text);
}

function key({ dedup_key, job, slot }) {
  if (job) return [h("span", {}, job), slot && h("span", { class: "muted" }, ` ${instant(slot)}`)];
  return dedup_key
    ? h("code", { class: "clip", title: dedup_key }, dedup_key)
    : h("span", { class: "muted" }, "–");
}
