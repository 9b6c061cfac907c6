// A queue as a row: its counts, age, rates and worst problem.
import { to, toQueue } from "../address.js";
import { coded, h, icon, plain } from "../dom.js";
import { age, count, full } from "../format.js";
import { t, told } from "../language.js";
import { worst } from "./notice.js";
import { said, tag } from "./pauses.js";
import { sparkline } from "./sparkline.js";

export const UNREADABLE = t("no privilege to read it, or it is locked");

const number = (id, label, estimated) => ({
  id,
  label,
  numeric: true,
  by: (queue) => queue[id],
  changes: (queue) => [queue[id], estimated && queue[estimated]],
  cell: (queue) => quantity(queue[id], estimated && queue[estimated]),
});

const quantity = (value, estimated) =>
  h(
    "span",
    { class: value ? null : "zero", title: estimated ? t("about {number}, estimated", { number: full(value) }) : full(value) },
    count(value, estimated),
  );

export const COLUMNS = [
  {
    id: "queue_name",
    label: t("Queue"),
    by: (queue) => queue.queue_name,
    cell: name,
    changes: (queue) => [
      queue.queue_name,
      queue.problems,
      queue.paused,
      queue.jobs,
      queue.is_unlogged,
      queue.is_partitioned,
    ],
  },
  number("visible", t("Visible"), "estimated"),
  number("in_flight", t("In flight"), "estimated"),
  number("delayed", t("Delayed"), "estimated"),
  {
    id: "dead_letters",
    label: t("Dead letters"),
    numeric: true,
    by: (queue) => queue.dead_letters,
    cell: deadLetters,
    changes: (queue) => [queue.queue_name, queue.dead_letters, queue.dead_letters_estimated],
  },
  number("archived", t("Archived"), "archived_estimated"),
  {
    id: "oldest_age",
    label: t("Oldest"),
    numeric: true,
    by: (queue) => queue.oldest_age,
    changes: (queue) => age(queue.oldest_age),
    cell: (queue) => age(queue.oldest_age),
  },
  {
    id: "hour",
    label: t("Last hour"),
    by: (queue) => total(queue.arrivals),
    cell: (queue) => sparkline(queue.arrivals, queue.completions),
    changes: (queue) => [queue.arrivals, queue.completions],
  },
];

function name(queue) {
  const found = worst(queue.problems);
  const more = (queue.problems?.length ?? 0) - 1;
  return [
    h("a", { class: "name", href: toQueue(queue.queue_name) }, queue.queue_name),
    tag(queue.paused),
    queue.is_unlogged &&
      h("span", { class: "tag", title: t("A server crash deletes its messages") }, t("unlogged")),
    queue.is_partitioned && h("span", { class: "tag" }, t("partitioned")),
    queue.jobs
      ? h("a", { class: "tag", href: to("jobs", { q: queue.queue_name }) }, t("{count} jobs", { count: queue.jobs }))
      : null,
    queue.paused && h("span", { class: "flag warning" }, icon("warning"), said(queue.paused)),
    found &&
      h(
        "span",
        { class: `flag ${found.severity}`, title: found.fix && plain(told(found.said?.fix, found.fix)) },
        icon(found.severity),
        coded(told(found.said?.text, found.text)),
        more > 0 && [" ", t("({number} more)", { number: more })],
      ),
  ];
}

function deadLetters({ queue_name, dead_letters, dead_letters_estimated }) {
  if (dead_letters === null) return h("span", { class: "muted", title: UNREADABLE }, "?");
  if (!dead_letters) return quantity(dead_letters);
  return h(
    "a",
    { class: "bad", href: toQueue(queue_name, { tab: "dead_letters" }) },
    count(dead_letters, dead_letters_estimated),
  );
}

const total = (values) => values.reduce((sum, value) => sum + (value ?? 0), 0);
