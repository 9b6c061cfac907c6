// Every queue of a connection: how full, how old, how busy, and what is wrong.
import { param, setParams, to, toQueue } from "../address.js";
import { api, get } from "../api.js";
import { h, icon, replace } from "../dom.js";
import { age, count, full, plural } from "../format.js";
import { openPage } from "../parts/frame.js";
import { empty, problemList, worst } from "../parts/notice.js";
import { sparkline } from "../parts/sparkline.js";
import { Table, scrolling } from "../parts/table.js";

const number = (id, label, estimated) => ({
  id, label, numeric: true, by: (queue) => queue[id],
  changes: (queue) => [queue[id], estimated && queue[estimated]],
  cell: (queue) => quantity(queue[id], estimated && queue[estimated]),
});

const quantity = (value, estimated) =>
  h("span", { class: value ? null : "zero", title: estimated ? `about ${full(value)}, estimated` : full(value) },
    count(value, estimated));

const COLUMNS = [
  { id: "queue_name", label: "Queue", by: (queue) => queue.queue_name, cell: name,
    changes: (queue) => [queue.queue_name, queue.problems, queue.jobs, queue.is_unlogged, queue.is_partitioned] },
  number("visible", "Visible", "estimated"),
  number("in_flight", "In flight", "estimated"),
  number("delayed", "Delayed", "estimated"),
  { id: "dead_letters", label: "Dead letters", numeric: true, by: (queue) => queue.dead_letters, cell: deadLetters,
    changes: (queue) => [queue.queue_name, queue.dead_letters] },
  number("archived", "Archived", "archived_estimated"),
  { id: "oldest_age", label: "Oldest", numeric: true, by: (queue) => queue.oldest_age,
    changes: (queue) => age(queue.oldest_age), cell: (queue) => age(queue.oldest_age) },
  { id: "hour", label: "Last hour", by: (queue) => total(queue.arrivals), cell: (queue) =>
    sparkline(queue.arrivals, queue.completions), changes: (queue) => [queue.arrivals, queue.completions] },
];

function name(queue) {
  const found = worst(queue.problems);
  const more = (queue.problems?.length ?? 0) - 1;
  return [
    h("a", { class: "name", href: toQueue(queue.queue_name) }, queue.queue_name),
    queue.is_unlogged && h("span", { class: "tag", title: "Its messages do not survive a crash of the server" }, "unlogged"),
    queue.is_partitioned && h("span", { class: "tag" }, "partitioned"),
    queue.jobs ? h("a", { class: "tag", href: to("jobs", { q: queue.queue_name }) }, plural(queue.jobs, "job")) : null,
    found && h("span", { class: `flag ${found.severity}`, title: found.mend },
      icon(found.severity), found.text, more > 0 && ` (${more} more)`),
  ];
}

function deadLetters({ queue_name, dead_letters }) {
  if (!dead_letters) return quantity(dead_letters);
  return h("a", { class: "bad", href: toQueue(queue_name, { tab: "dead_letters" }) }, count(dead_letters));
}

const total = (values) => values.reduce((sum, value) => sum + (value ?? 0), 0);

function view({ connection }, main) {
  let queues = [];
  const table = new Table({
    caption: "Queues", columns: COLUMNS, key: (queue) => queue.queue_name,
    sort: param("sort", "queue_name"), descending: param("order") === "desc",
    onSort: (sort, descending) => setParams({ sort, order: descending ? "desc" : null }),
    rowClass: (queue) => (queue.is_dead_letter_queue ? "aside" : ""),
  });
  const search = h("input", { type: "search", placeholder: "Search queues", "aria-label": "Search queues",
    value: param("q"), oninput: () => { setParams({ q: search.value }); draw(); } });
  const aside = h("input", { type: "checkbox", checked: param("dlq") === "1",
    onchange: () => { setParams({ dlq: aside.checked ? "1" : null }); draw(); } });
  const summary = h("p", { class: "summary" });
  const problems = h("div");
  const box = scrolling(table, "Queues");
  const nothing = h("div");
  const tools = h("div", { class: "tools" }, search, h("label", { class: "check" }, aside, "Dead letter queues"), summary);
  replace(main, h("h1", { class: "visually-hidden" }, "Queues"), problems, tools, box, nothing);

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    const shown = queues.filter((queue) => queue.queue_name.toLowerCase().includes(wanted)
      && (aside.checked || wanted || !queue.is_dead_letter_queue));
    table.show(shown);
    box.hidden = !shown.length;
    tools.hidden = !queues.length;
    replace(nothing, !queues.length ? noQueues() : !shown.length ? empty("No queue matches", `Nothing is called like “${search.value}”.`) : null);
  }

  return async (signal) => {
    const answer = await get(api(connection.connection_id, "queues"), {}, signal);
    queues = answer.queues;
    replace(problems, problemList(answer.problems));
    replace(summary, sums(queues));
    draw();
  };
}

function sums(queues) {
  const of = (id) => queues.reduce((sum, queue) => sum + (queue.is_dead_letter_queue ? 0 : queue[id] ?? 0), 0);
  const own = queues.filter((queue) => !queue.is_dead_letter_queue).length;
  return [plural(own, "queue"), " · ", count(of("visible")), " visible · ", count(of("in_flight")), " in flight · ",
    count(of("dead_letters")), " dead letters"].join("");
}

const noQueues = () => empty("No queues yet",
  "Create the first one: ", h("code", {}, 'PgmqHook().create_queue("orders")'), " in a task, or ",
  h("code", {}, "SELECT pgmq.create('orders')"), " in the database.");

openPage({ active: "queues", view });
