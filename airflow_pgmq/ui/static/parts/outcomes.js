// The last slots of a job as a table: when each was sent, where its message is, and how long it took.
import { toQueue } from "../address.js";
import { asText, h, replace } from "../dom.js";
import { age, plural } from "../format.js";
import { stateOf } from "./heatmap.js";
import { time } from "./job.js";
import { mark } from "./slots.js";
import { Table, scrolling } from "./table.js";

const PAGE = 50;
const PLACES = {
  visible: "waits in the queue",
  in_flight: "a consumer has it",
  delayed: "not visible yet",
  archived: "acked",
  dead: "dead letter",
  gone: "gone",
  unknown: "unknown",
};
const TABS = { archived: "archive", dead: "dead_letters" };
const none = () => h("span", { class: "muted" }, "–");

const COLUMNS = [
  {
    id: "slot",
    label: "Slot",
    by: (each) => each.slot,
    changes: (each) => each.slot,
    cell: (each) => time(each.slot),
  },
  {
    id: "state",
    label: "State",
    by: stateOf,
    changes: (each) => [each.state, each.place],
    cell: (each) => h("span", { class: "nowrap" }, mark(stateOf(each)), " ", each.state),
  },
  {
    id: "late",
    label: "Sent late by",
    numeric: true,
    by: (each) => each.late,
    changes: (each) => each.late ?? null,
    cell: (each) => (each.late ? age(each.late) : none()),
  },
  {
    id: "place",
    label: "Message",
    by: (each) => each.place,
    changes: (each) => [each.place, each.queue_name, each.msg_id],
    cell: place,
  },
  duration("took", "Visible → acked"),
  duration("worked", "Last read → acked"),
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
      caption: "Last slots",
      columns: COLUMNS,
      key: (each) => each.slot,
      sort: "slot",
      descending: true,
    });
    this.foot = h("div", { class: "foot" });
    this.element = h("div", {}, scrolling(this.table, "Last slots"), this.foot);
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
      left > 0 && h("button", { type: "button", onclick: more }, `Show more (${plural(left, "slot")} left)`),
    );
  }
}
