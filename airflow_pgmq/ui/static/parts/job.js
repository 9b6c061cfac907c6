// A periodic job as a row: its schedule in words, its next slots, and the states of its last slots.
import { toJob, toQueue } from "../address.js";
import { h } from "../dom.js";
import { age, exact, toTheMinute, zone } from "../format.js";
import { t } from "../language.js";
import { problemList } from "./notice.js";
import { slotStrip } from "./slots.js";

export const time = (iso) => h("time", { datetime: iso, title: exact(iso) }, toTheMinute(iso));

export const COLUMNS = [
  {
    id: "name",
    label: t("Job"),
    by: (job) => job.name,
    changes: (job) => [job.name, job.paused, job.version, job.live, job.overdue, job.problems],
    cell: (job) => [
      h("a", { class: "name", href: toJob(job.namespace, job.name) }, job.name),
      job.version ? h("span", { class: "tag" }, `v${job.version}`) : null,
      job.live && h("span", { class: "tag", title: t("Changed at run time, not in a Dag") }, t("live")),
      job.paused && h("span", { class: "tag paused" }, t("paused")),
      job.overdue
        ? h("a", { class: "tag overdue", href: toJob(job.namespace, job.name) }, t("{count} overdue", { count: job.overdue }))
        : null,
      problemList(job.problems, t("Problems of {name}", { name: job.name })),
    ],
  },
  {
    id: "schedule",
    label: t("Schedule"),
    changes: (job) => [job.words, job.schedule, job.timezone],
    cell: (job) => [
      h("span", {}, job.words),
      h("span", { class: "sub" }, h("code", {}, job.schedule), " ", job.timezone),
    ],
  },
  {
    id: "queue_name",
    label: t("Queue"),
    by: (job) => job.queue_name,
    changes: (job) => job.queue_name,
    cell: (job) => h("a", { href: toQueue(job.queue_name, { by: "job", q: job.name }) }, job.queue_name),
  },
  {
    id: "next",
    label: t("Next"),
    by: (job) => job.next_slots[0],
    changes: (job) => [job.next_slots, job.paused],
    cell: next,
  },
  {
    id: "last",
    label: t("Last slot"),
    by: (job) => job.last_slot,
    changes: (job) => [job.last_slot, job.last_sent_at, job.lateness],
    cell: last,
  },
  { id: "slots", label: t("Slots"), changes: (job) => job.slots, cell: (job) => slotStrip(job.slots) },
];

function next({ next_slots, paused, name }) {
  if (!next_slots.length) return h("span", { class: "muted" }, paused ? t("when resumed") : t("no further runs"));
  const [first, ...others] = next_slots;
  return h(
    "details",
    { class: paused ? "next muted" : "next" },
    h("summary", { "aria-label": t("Next {count} slots of {name}", { count: next_slots.length, name }) }, time(first)),
    h(
      "ol",
      {},
      others.map((slot) => h("li", {}, time(slot))),
    ),
    h("p", { class: "sub" }, zone),
  );
}

export function last({ last_slot, last_sent_at, lateness }) {
  if (!last_slot) return h("span", { class: "muted" }, t("not yet"));
  const late = lateness > 0;
  return [
    time(last_slot),
    h(
      "span",
      { class: late ? "sub warn" : "sub", title: t("enqueued {time}", { time: exact(last_sent_at) }) },
      late ? t("{age} late", { age: age(lateness) }) : t("on time"),
    ),
  ];
}
