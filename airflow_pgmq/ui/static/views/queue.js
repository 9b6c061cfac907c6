// One queue: its history, and its messages, archive and dead letters.
import { param, to } from "../address.js";
import { api, get } from "../api.js";
import { h, renew, replace } from "../dom.js";
import { age, count, full } from "../format.js";
import { rich, t } from "../language.js";
import { Actions } from "../parts/actions.js";
import { Chart } from "../parts/chart.js";
import { openPage } from "../parts/frame.js";
import { Groups } from "../parts/groups.js";
import { MessageBrowser } from "../parts/browser.js";
import { problemList } from "../parts/notice.js";
import { Pauses, said, tag } from "../parts/pauses.js";
import { UNREADABLE } from "../parts/queue.js";
import { choices, tabs } from "../parts/tabs.js";

const NAME = decodeURIComponent(location.pathname.split("/ui/queue/").pop());
const TABS = ["messages", "archive", "dead_letters"];
const RANGES = [
  ["hour", t("Hour")],
  ["day", t("Day")],
  ["week", t("Week")],
];
const DEPTH = [
  { field: "length", label: t("All"), colour: "--muted" },
  { field: "visible", label: t("Visible"), colour: "--arrivals", fill: true },
];
const RATES = [
  { field: "arrivals", label: t("Arrived"), colour: "--arrivals" },
  { field: "completions", label: t("Completed"), colour: "--completions" },
];

function view({ connection }, main, reload) {
  const range = param("range", "hour");
  const tab = TABS.includes(param("tab")) ? param("tab") : TABS[0];
  const actions = new Actions({ connectionId: connection.connection_id, reload });
  const pauses = new Pauses({ connectionId: connection.connection_id, reload });
  const heading = h("div", { class: "heading" });
  const stats = h("dl", { class: "stats" });
  const problems = h("div");
  const depth = new Chart({ title: t("Messages"), series: DEPTH });
  const rates = new Chart({ title: t("Per minute"), series: RATES });
  const unsampled = h("p", { class: "hint" });
  const ways = h("div");
  const groups = new Groups({ connection, name: NAME, reload });
  const browser = new MessageBrowser({ connection, tab, actions, reload });
  replace(
    main,
    heading,
    problems,
    stats,
    h(
      "section",
      { class: "history", "aria-label": t("History") },
      choices(t("Range"), "range", RANGES, range),
      h("div", { class: "charts" }, depth.element, rates.element),
      unsampled,
    ),
    groups.element,
    ways,
    browser.element,
  );

  return async (signal) => {
    const queue = await get(api(connection.connection_id, "queues", NAME), { range }, signal);
    const { queue_name, jobs, paused } = queue;
    renew(heading, [queue_name, jobs, paused], () => head(queue, connection.may_write && { actions, pauses }));
    replace(problems, pausedNotice(queue), problemList(queue.problems));
    replace(stats, facts(queue));
    const sampled = queue.history.some(({ length }) => length !== null);
    depth.show(sampled ? queue.history : []);
    rates.show(sampled ? queue.history : []);
    for (const chart of [depth, rates]) chart.element.hidden = !sampled;
    replace(unsampled, sampled ? null : notSampled());
    replaceTabs(ways, queue, tab);
    await Promise.all([groups.load(queue, signal), browser.load(queue, signal)]);
  };
}

const head = (queue, may) => [
  h("a", { class: "crumb", href: to("") }, t("Queues")),
  h("span", { class: "crumb muted", "aria-hidden": "true" }, "/"),
  h("h1", {}, queue.queue_name),
  tag(queue.paused),
  queue.is_unlogged && h("span", { class: "tag" }, t("unlogged")),
  queue.is_partitioned && h("span", { class: "tag" }, t("partitioned")),
  queue.jobs
    ? h("a", { class: "tag", href: to("jobs", { q: queue.queue_name }) }, t("{count} jobs", { count: queue.jobs }))
    : null,
  may && h("div", { class: "buttons" }, may.pauses.button(queue), may.actions.purge(queue.queue_name)),
];

const pausedNotice = ({ paused }) =>
  paused && problemList([{ severity: "warning", text: t("{sentence}.", { sentence: said(paused) }) }], t("Pause"));

const facts = (queue) =>
  [
    [t("Visible"), queue.visible, queue.estimated],
    [t("In flight"), queue.in_flight, queue.estimated],
    [t("Delayed"), queue.delayed, queue.estimated],
    [t("Archived"), queue.archived, queue.archived_estimated],
  ]
    .map(([term, value, estimated]) => stat(term, count(value, estimated), full(value)))
    .concat(deadLetters(queue), stat(t("Oldest"), age(queue.oldest_age)));

const deadLetters = ({ dead_letters, dead_letters_estimated }) =>
  dead_letters === null
    ? stat(t("Dead letters"), "?", UNREADABLE)
    : stat(t("Dead letters"), count(dead_letters, dead_letters_estimated), full(dead_letters));

const stat = (term, value, title) => h("div", {}, h("dt", {}, term), h("dd", { title }, value));

function replaceTabs(ways, queue, tab) {
  const items = [
    { id: "messages", text: t("Messages"), number: queue.length, estimated: queue.estimated },
    { id: "archive", text: t("Archive"), number: queue.archived, estimated: queue.archived_estimated },
  ];
  if (!queue.is_dead_letter_queue)
    items.push({
      id: "dead_letters",
      text: t("Dead letters"),
      number: queue.dead_letters,
      estimated: queue.dead_letters_estimated,
    });
  renew(ways, items, () => tabs(t("Messages"), items, tab));
}

const notSampled = () =>
  rich(
    "No samples of this time range yet. The ticks of periodic jobs take one per minute, and so do the command {command} and a Dag with {operator}.",
    { command: h("code", {}, "maintain"), operator: h("code", {}, "PgmqMaintenanceOperator") },
  );

openPage({ active: "queues", view });
