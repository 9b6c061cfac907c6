// The messages of a queue: pages, search by key, job or id, and actions.
import { here, param, setParams, toQueue } from "../address.js";
import { api, get } from "../api.js";
import { asText, h, renew } from "../dom.js";
import { rich, t } from "../language.js";
import { long } from "./long.js";
import { Messages, READS, STATE, TRIES, moment } from "./messages.js";
import { empty } from "./notice.js";

const PAGE = 50;
// A request searches 20,000 messages; this many requests follow each other without a click.
const LOOKS = 5;
const LOOKED = 20_000;
const SEARCHES = [
  ["dedup_key", t("Dedup key"), t("No message here has this dedup key. The search is exact.")],
  ["job", t("Job"), t("No message here has this job. The search is exact.")],
  ["msg_id", t("Message id"), t("No message here has this message id. The search is exact.")],
];
const COLUMNS = {
  messages: [
    STATE,
    READS,
    moment("enqueued_at", t("Enqueued"), (each) => each.enqueued_at),
    moment("vt", t("Visible"), (each) => each.vt),
  ],
  archive: [
    READS,
    moment("enqueued_at", t("Enqueued"), (each) => each.enqueued_at),
    moment("archived_at", t("Archived"), (each) => each.archived_at),
  ],
  dead_letters: [
    { id: "reason", label: t("Reason"), changes: (each) => each.dead_letter, cell: reason },
    TRIES,
    moment("enqueued_at", t("Enqueued"), (each) => each.enqueued_at),
  ],
};
// Columns for users who may see payloads and headers.
const OF_HEADERS = ["reason", "tries"];
const VERBS = { messages: ["release", "delete"], dead_letters: ["requeue", "delete"], archive: ["requeue"] };

export class MessageBrowser {
  constructor({ connection, tab, actions, reload }) {
    Object.assign(this, { connection, tab, actions, reload, first: true });
    this.#restart();
    const choose = connection.may_write ? (ids) => this.#drawActions(ids) : null;
    this.list = new Messages({
      label: t("Messages"),
      mayPeek: connection.may_peek,
      columns: COLUMNS[tab].filter(({ id }) => connection.may_peek || !OF_HEADERS.includes(id)),
      onChoose: choose,
      alone: ({ msg_id }, text) =>
        h("a", { href: here({ msg_id: asText(msg_id), q: null, by: null }) }, text),
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
    const answer = this.queueName ? await this.#gather(signal) : { messages: [], next_after: null };
    if (this.#isElsewhere(answer.messages)) {
      location.replace(here({ tab: "archive" }));
      return;
    }
    this.list.show(answer.messages);
    const shown = [answer.next_after, answer.messages.length, this.text.value, this.looked, this.looks];
    renew(this.foot, shown, () => this.#foot(answer));
    if (this.first && this.by.value === "msg_id") this.list.openFirst();
    this.first = false;
  }

  #restart() {
    Object.assign(this, { from: null, looked: 0, wanted: 1, looks: LOOKS });
  }

  // Load pages until enough messages are found, from the start each time, because shown messages may be gone. A
  // message that the ledger finds by its key appears again at its place in the queue.
  async #gather(signal) {
    const messages = new Map();
    let after = this.from;
    let looks = 0;
    do {
      const answer = await this.#ask(after, signal);
      for (const each of answer.messages) messages.set(asText(each.msg_id), each);
      after = answer.next_after;
      looks += 1;
    } while (after !== null && messages.size < this.wanted && looks < this.looks);
    return { messages: [...messages.values()], next_after: after };
  }

  #ask(after, signal) {
    const text = this.text.value.trim();
    return get(
      api(this.connection.connection_id, "queues", this.queueName, "messages"),
      {
        source: this.tab === "archive" ? "archive" : "queue",
        limit: PAGE,
        after,
        [this.by.value]: text,
      },
      signal,
    );
  }

  // Whether the page was opened by a link to a message that has been archived since.
  #isElsewhere(messages) {
    return this.first && !messages.length && param("msg_id") && !param("tab");
  }

  #search() {
    const known = param("msg_id");
    // Users may search only by what they may see.
    const ways = SEARCHES.filter(([value]) => this.connection.may_peek || value === "msg_id");
    this.by = h(
      "select",
      { "aria-label": t("Search by"), onchange: () => this.#find() },
      ways.map(([value, label]) => h("option", { value }, label)),
    );
    this.by.value = known ? "msg_id" : param("by", "dedup_key");
    if (!this.by.value) this.by.value = "msg_id";
    this.text = h("input", {
      type: "search",
      "aria-label": t("Search messages"),
      placeholder: t("Exact search"),
      value: known || (ways.some(([value]) => value === param("by", "dedup_key")) ? param("q") : ""),
      onchange: () => this.#find(),
      onsearch: () => this.#find(),
    });
    return h("div", { class: "search", role: "search" }, this.by, this.text);
  }

  #find() {
    const text = this.text.value.trim();
    const wanted = `${this.by.value} ${text}`;
    if (this.text.wanted === wanted || (!text && !param("q") && !param("msg_id"))) return;
    this.text.wanted = wanted;
    this.#restart();
    setParams({ q: text, by: text ? this.by.value : null, msg_id: null });
    this.reload();
  }

  #drawActions(chosen) {
    const dead = this.tab === "dead_letters";
    renew(this.buttons, [chosen, this.list.items.length > 0, this.queue.dead_letters], () =>
      this.list.items.length
        ? [
            h("span", { class: "muted" }, chosen.length ? t("{count} messages chosen", { count: chosen.length }) : ""),
            this.actions.forChosen(
              this.queueName,
              VERBS[this.tab],
              chosen,
              this.tab === "archive" ? { source: "archive" } : {},
            ),
            dead && this.queue.dead_letters
              ? this.actions.requeueAll(this.queueName, this.queue.dead_letters)
              : null,
          ]
        : null,
    );
  }

  #foot({ messages, next_after }) {
    if (next_after === null) return messages.length ? null : this.#nothing();
    if (!messages.length) return this.#notYet(next_after);
    return this.#button(this.text.value.trim() ? t("Look further") : t("Show more"), () => {
      this.wanted = messages.length + 1;
      this.looks += LOOKS;
    });
  }

  // Continue behind the messages that were searched without a result.
  #notYet(next_after) {
    const looked = this.looked + this.looks * LOOKED;
    return [
      empty(t("Nothing found yet"), t("Searched {count} messages so far; there are more.", { count: looked })),
      this.#button(t("Look further"), () => Object.assign(this, { from: next_after, looked })),
    ];
  }

  #button(text, change) {
    const onclick = () => {
      change();
      this.reload();
    };
    return h("button", { type: "button", onclick }, text);
  }

  #nothing() {
    if (this.text.value.trim()) {
      const [, , none] = SEARCHES.find(([value]) => value === this.by.value);
      return empty(t("Nothing found"), none);
    }
    if (this.tab === "archive")
      return empty(
        t("Nothing archived"),
        t("Messages appear here when a consumer archives them. The provider's consumers do so by default."),
      );
    if (this.tab === "dead_letters") {
      const queue = this.queueName && h("a", { href: toQueue(this.queueName) }, this.queueName);
      return empty(
        t("No dead letters"),
        queue
          ? rich("A message that fails too often is moved to a dead letter queue, here {queue}.", { queue })
          : t("A message that fails too often is moved to a dead letter queue."),
      );
    }
    return empty(
      t("The queue is empty"),
      rich("Send a message with {operator} or {sql}.", {
        operator: h("code", {}, `PgmqSendOperator(queue_name="${this.queue.queue_name}", …)`),
        sql: h("code", {}, `SELECT pgmq.send('${this.queue.queue_name}', '{}')`),
      }),
    );
  }
}

function reason({ dead_letter }) {
  const text = dead_letter?.reason;
  return text ? long(text) : h("span", { class: "muted" }, "–");
}
