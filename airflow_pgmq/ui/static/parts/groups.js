// The groups of a queue that is read in order: which are held back, and by what. Asked for while it is open.
import { api, get, post } from "../api.js";
import { asText, h, replace } from "../dom.js";
import { exact, full, instant } from "../format.js";
import { rich, t } from "../language.js";
import { confirm } from "./confirm.js";
import { Table, scrolling } from "./table.js";
import { toast } from "./toast.js";

const STATES = {
  ready: t("ready"),
  delayed: t("delayed"),
  retry: t("failed, waits"),
  with_reader: t("with a reader"),
  stopped: t("stopped"),
};
const MOST = 1000;
// Its name is in a header whose values are hidden.
const HIDDEN = "***";

export class Groups {
  constructor({ connection, name, reload }) {
    Object.assign(this, { id: connection.connection_id, mayWrite: connection.may_write, name, reload });
    this.table = new Table({
      caption: t("Groups"),
      columns: this.#columns(connection.may_peek),
      key: ({ msg_id }) => msg_id,
      sort: "state",
    });
    this.box = scrolling(this.table, t("Groups"));
    this.note = h("p", { class: "hint" });
    this.element = h(
      "details",
      { class: "groups", hidden: true },
      h("summary", {}, t("Groups")),
      this.box,
      this.note,
    );
    this.element.addEventListener("toggle", () => this.element.open && reload());
  }

  async load({ ordered }, signal) {
    this.element.hidden = !ordered;
    if (!ordered || !this.element.open) return;
    const { groups, more } = await get(api(this.id, "queues", this.name, "groups"), {}, signal);
    this.table.show(groups);
    this.box.hidden = !groups.length;
    replace(
      this.note,
      groups.length
        ? more && t("More groups have messages; these are held back, or the first ones.")
        : t("No messages with a group."),
    );
  }

  #columns(mayPeek) {
    const columns = [
      {
        id: "state",
        label: t("State"),
        by: ({ state }) => ORDER.indexOf(state),
        cell: said,
        changes: (group) => group,
      },
      { id: "messages", label: t("Messages"), numeric: true, by: ({ messages }) => messages, cell: number },
      {
        id: "msg_id",
        label: t("Next message"),
        numeric: true,
        by: ({ msg_id }) => msg_id,
        cell: ({ msg_id }) => String(msg_id),
      },
      {
        id: "tries",
        label: t("Tries"),
        numeric: true,
        by: ({ tries }) => tries,
        cell: ({ tries }) => full(tries),
      },
    ];
    const name = {
      id: "name",
      label: t("Group"),
      by: ({ group }) => group,
      cell: ({ group }) => h("span", { class: "name" }, group),
    };
    const act = {
      id: "actions",
      label: t("Actions"),
      hidden: true,
      cell: (group) => this.#buttons(group),
      changes: ({ group, state }) => [group, state],
    };
    return [mayPeek && name, ...columns, mayPeek && this.mayWrite && act].filter(Boolean);
  }

  #buttons({ group, state, msg_id }) {
    if (state !== "stopped" || group === HIDDEN) return null;
    const button = (label, asDeadLetter, text) =>
      h(
        "button",
        {
          type: "button",
          "aria-label": `${label}: ${group}`,
          onclick: () => this.#resume(group, label, asDeadLetter, text),
        },
        label,
      );
    return h(
      "div",
      { class: "buttons" },
      button(
        t("Try again"),
        false,
        t("Message {id} is tried again, as if it had not been tried.", { id: asText(msg_id) }),
      ),
      button(
        t("Go on without it"),
        true,
        t("Message {id} becomes a dead letter, and the next one of the group is read.", { id: asText(msg_id) }),
      ),
    );
  }

  async #resume(group, action, asDeadLetter, text) {
    const path = api(this.id, "queues", this.name, "groups", "resume");
    let answer = null;
    const act = async () => (answer = await post(path, { group, as_dead_letter: asDeadLetter }));
    if (await confirm({ title: t("Let group {group} go on?", { group }), text, action, act })) {
      toast(group, answer.changed ? t("goes on") : t("was not stopped any more"));
      this.reload();
    }
  }
}

const ORDER = ["stopped", "retry", "with_reader", "delayed", "ready"];

const said = ({ state, until, stopped_at, reason }) => [
  h("span", { class: state === "stopped" ? "bad" : null }, STATES[state]),
  until && [" ", rich("until {time}", { time: time(until) })],
  stopped_at && [" ", rich("since {time}", { time: time(stopped_at) })],
  reason && h("div", { class: "muted" }, reason),
];

const time = (iso) => h("time", { datetime: iso, title: exact(iso) }, instant(iso));

const number = ({ messages }) => (messages >= MOST ? t("{number} or more", { number: MOST }) : full(messages));
