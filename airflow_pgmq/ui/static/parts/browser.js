// The messages of a queue, page by page, searched by key, job or id, with what may be done to them.
import { here, param, setParams, toQueue } from "../address.js";
import { api, get } from "../api.js";
import { append, h, replace } from "../dom.js";
import { plural } from "../format.js";
import { Messages, READS, STATE, moment } from "./messages.js";
import { empty } from "./notice.js";

const PAGE = 50;
const MOST = 200;
const SEARCHES = [
  ["dedup_key", "Dedup key"],
  ["job", "Job"],
  ["msg_id", "Message id"],
];
const COLUMNS = {
  messages: [
    STATE,
    READS,
    moment("enqueued_at", "Enqueued", (each) => each.enqueued_at),
    moment("vt", "Visible", (each) => each.vt),
  ],
  archive: [
    READS,
    moment("enqueued_at", "Enqueued", (each) => each.enqueued_at),
    moment("archived_at", "Archived", (each) => each.archived_at),
  ],
  dead_letters: [
    { id: "reason", label: "Reason", changes: (each) => each.dead_letter, cell: reason },
    READS,
    moment("enqueued_at", "Enqueued", (each) => each.enqueued_at),
  ],
};
const VERBS = { messages: ["release", "delete"], dead_letters: ["requeue", "delete"], archive: ["requeue"] };

export class MessageBrowser {
  constructor({ connection, tab, actions, reload }) {
    Object.assign(this, { connection, tab, actions, reload, limit: PAGE, first: true });
    const choose = connection.may_write ? (ids) => this.#drawActions(ids) : null;
    this.list = new Messages({
      label: "Messages",
      mayPeek: connection.may_peek,
      columns: COLUMNS[tab],
      onChoose: choose,
    });
    this.buttons = h("div", { class: "buttons" });
    this.foot = h("div", { class: "foot" });
    this.element = h(
      "div",
      { class: "browser" },
      h("div", { class: "tools" }, this.#search(), this.buttons),
      this.list.element,
      this.foot,
    );
  }

  async load(queue, signal) {
    this.queueName = this.tab === "dead_letters" ? queue.dead_letter_queue : queue.queue_name;
    this.queue = queue;
    const answer = this.queueName ? await this.#ask(signal) : { messages: [], next_after: null };
    if (this.#isElsewhere(answer.messages)) {
      location.replace(here({ tab: "archive" }));
      return;
    }
    this.list.show(answer.messages);
    replace(this.foot, this.#foot(answer));
    if (this.first && this.by.value === "msg_id") this.list.openFirst();
    this.first = false;
  }

  #ask(signal) {
    const text = this.text.value.trim();
    return get(
      api(this.connection.connection_id, "queues", this.queueName, "messages"),
      {
        where: this.tab === "archive" ? "archive" : "queue",
        limit: this.limit,
        [this.by.value]: text,
      },
      signal,
    );
  }

  // A link to a message that has been archived since.
  #isElsewhere(messages) {
    return this.first && !messages.length && param("msg_id") && !param("tab");
  }

  #search() {
    const known = param("msg_id");
    this.by = h(
      "select",
      { "aria-label": "Search by", onchange: () => this.#find() },
      SEARCHES.map(([value, label]) => h("option", { value }, label)),
    );
    this.by.value = known ? "msg_id" : param("by", "dedup_key");
    this.text = h("input", {
      type: "search",
      "aria-label": "Search messages",
      placeholder: "Search, exactly",
      value: known || param("q"),
      onchange: () => this.#find(),
      onsearch: () => this.#find(),
    });
    return h("div", { class: "search", role: "search" }, this.by, this.text);
  }

  #find() {
    const text = this.text.value.trim();
    const wanted = `${this.by.value} ${text}`;
    if (this.wanted === wanted || (!text && !param("q") && !param("msg_id"))) return;
    this.wanted = wanted;
    setParams({ q: text, by: text ? this.by.value : null, msg_id: null });
    this.reload();
  }

  #drawActions(chosen) {
    const dead = this.tab === "dead_letters";
    replace(
      this.buttons,
      this.list.items.length
        ? [
            h("span", { class: "muted" }, chosen.length ? `${plural(chosen.length, "message")} chosen` : ""),
            this.actions.forChosen(
              this.queueName,
              VERBS[this.tab],
              chosen,
              this.tab === "archive" ? { where: "archive" } : {},
            ),
            dead && this.queue.dead_letters
              ? this.actions.requeueAll(this.queueName, this.queue.dead_letters)
              : null,
          ]
        : null,
    );
  }

  #foot({ messages, next_after }) {
    if (!messages.length) return this.#nothing();
    if (next_after === null) return null;
    if (this.limit >= MOST)
      return h("p", { class: "muted" }, `The first ${messages.length} are shown; search to find others.`);
    return h(
      "button",
      {
        type: "button",
        onclick: () => {
          this.limit = Math.min(MOST, this.limit + PAGE);
          this.reload();
        },
      },
      "Show more",
    );
  }

  #nothing() {
    if (this.text.value.trim()) {
      return append(
        empty(
          "Nothing found",
          `No message here has exactly this ${this.by.selectedOptions[0].text.toLowerCase()}.`,
        ),
        [],
      );
    }
    if (this.tab === "archive")
      return empty(
        "Nothing archived",
        "Messages appear here when a consumer archives them, as ours do by default.",
      );
    if (this.tab === "dead_letters") {
      return empty(
        "No dead letters",
        "A message that failed too often is put aside",
        this.queueName ? [" in ", h("a", { href: toQueue(this.queueName) }, this.queueName)] : null,
        ".",
      );
    }
    return empty(
      "The queue is empty",
      "Send a message with ",
      h("code", {}, `PgmqSendOperator(queue_name="${this.queue.queue_name}", …)`),
      " or ",
      h("code", {}, `SELECT pgmq.send('${this.queue.queue_name}', '{}')`),
      ".",
    );
  }
}

function reason({ dead_letter }) {
  const text = dead_letter?.reason;
  return text ? text : h("span", { class: "muted" }, "–");
}
