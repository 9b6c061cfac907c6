// The last slots of a job as a table: when each was sent, where its message is, and how long it took.
import { toQueue } from "../address.js";
import { asText, h, replace } from "../dom.js";
import { age } from "../format.js";
import { t } from "../language.js";
import { stateOf } from "./heatmap.js";
import { time } from "./job.js";
import { WORDS, mark } from "./slots.js";
import { Table, scrolling } from "./table.js";

const PAGE = 50;
const PLACES = {
  visible: t("waits in the queue"),
  in_flight: t("a consumer has it"),
  delayed: t("not visible yet"),
  archived: t("acked"),
  expired: t("expired"),
  cancelled: t("cancelled"),
  dead: t("dead letter"),
  gone: t("gone"),
  unknown: t("unknown"),
};
const TABS = { archived: "archive", expired: "archive", cancelled: "archive", dead: "dead_letters" };
const none = () => h("span", { class: "muted" }, "–");

const COLUMNS = [
  {
    id: "slot",
    label: t("Slot"),
    by: (each) => each.slot,
    changes: (each) => each.slot,
    cell: (each) => time(each.slot),
  },
  {
    id: "state",
    label: t("State"),
    by: stateOf,
    changes: (each) => [each.state, each.place],
    cell: (each) => h("span", { class: "nowrap" }, mark(stateOf(each)), " ", WORDS[each.state] ?? each.state),
  },
  {
    id: "late",
    label: t("Sent late by"),
    numeric: true,
    by: (each) => each.late,
    changes: (each) => each.late ?? null,
    cell: (each) => (each.late ? age(each.late) : none()),
  },
  {
    id: "place",
    label: t("Message"),
    by: (each) => each.place,
    changes: (each) => [each.place, each.queue_name, each.msg_id],
    cell: place,
  },
  duration("took", t("Visible → acked")),
  duration("worked", t("Last read → acked")),
];

function duration(id, label) {
  return {
    id,
    label,
    numeric: true,
    by: (each) => each[id],
    changes: (each) => each[id] ?? null,
    cell: (each) => (each[id] === null || each[id] === undefined ? none() : age(each[id])),
  };
}

function place({ place, queue_name, msg_id }) {
  if (!place) return none();
  if (place === "gone" || place === "unknown") return PLACES[place];
  // A dead letter has another id than its message had.
  const query = { tab: TABS[place], msg_id: place === "dead" ? null : asText(msg_id) };
  return h("a", { href: toQueue(queue_name, query) }, PLACES[place]);
}

export class Outcomes {
  constructor() {
    this.shown = PAGE;
    this.table = new Table({
      caption: t("Last slots"),
      columns: COLUMNS,
      key: (each) => each.slot,
      sort: "slot",
      descending: true,
    });
    this.foot = h("div", { class: "foot" });
    this.element = h("div", {}, scrolling(this.table, t("Last slots")), this.foot);
  }

  show(slots) {
    this.table.show(slots.slice(0, this.shown));
    // Archives of older PGMQ do not know when a message was read.
    this.table.element.classList.toggle(
      "no-worked",
      slots.every(({ worked }) => (worked ?? null) === null),
    );
    const left = slots.length - this.shown;
    const more = () => {
      this.shown += PAGE;
      this.show(slots);
    };
    replace(
      this.foot,
      left > 0 && h("button", { type: "button", onclick: more }, t("Show more ({count} slots left)", { count: left })),
    );
  }
}
