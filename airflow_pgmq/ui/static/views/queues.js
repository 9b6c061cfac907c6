// Every queue of a connection: counts, ages, rates and problems.
import { param, setParams } from "../address.js";
import { api, get } from "../api.js";
import { h, replace } from "../dom.js";
import { count } from "../format.js";
import { askedFor } from "../host.js";
import { rich, t } from "../language.js";
import { openPage } from "../parts/frame.js";
import { empty, problemList } from "../parts/notice.js";
import { COLUMNS } from "../parts/queue.js";
import { searchBox, sought } from "../parts/search.js";
import { Table, scrolling } from "../parts/table.js";

function view({ connection }, main) {
  let queues = [];
  const table = new Table({
    caption: t("Queues"),
    columns: COLUMNS,
    key: (queue) => queue.queue_name,
    sort: param("sort", "queue_name"),
    descending: param("order") === "desc",
    onSort: (sort, descending) => setParams({ sort, order: descending ? "desc" : null }),
    rowClass: (queue) => (queue.is_dead_letter_queue ? "aside" : ""),
  });
  const search = searchBox(t("Search queues"), () => draw());
  const aside = h("input", {
    type: "checkbox",
    checked: param("dlq") === "1",
    onchange: () => {
      setParams({ dlq: aside.checked ? "1" : null });
      draw();
    },
  });
  const summary = h("p", { class: "summary" });
  const problems = h("div");
  const box = scrolling(table, t("Queues"));
  const nothing = h("div");
  const tools = h(
    "div",
    { class: "tools" },
    search,
    h("label", { class: "check" }, aside, t("Dead letter queues")),
    summary,
  );
  replace(main, h("h1", { class: "visually-hidden" }, t("Queues")), problems, tools, box, nothing);

  function draw() {
    const wanted = sought(search);
    const shown = queues.filter(
      (queue) =>
        queue.queue_name.toLowerCase().includes(wanted) &&
        (aside.checked || wanted || !queue.is_dead_letter_queue),
    );
    table.show(shown);
    box.hidden = !shown.length;
    tools.hidden = !queues.length;
    replace(
      nothing,
      !queues.length
        ? noQueues()
        : !shown.length
          ? empty(t("No queue matches"), t("No queue's name contains “{text}”.", { text: search.value }))
          : null,
    );
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
  const own = queues.filter((queue) => !queue.is_dead_letter_queue);
  const of = (id) => own.reduce((sum, queue) => sum + (queue[id] ?? 0), 0);
  const sum = (id, flag) => ({
    count: of(id),
    number: count(of(id), own.some((queue) => queue[id] && queue[flag])),
  });
  return [
    t("{count} queues", { count: own.length }),
    t("{number} visible", sum("visible", "estimated")),
    t("{number} in flight", sum("in_flight", "estimated")),
    t("{number} dead letters", sum("dead_letters", "dead_letters_estimated")),
  ].join(" · ");
}

const noQueues = () =>
  empty(
    t("No queues yet"),
    rich("Create the first one: {command} where Airflow runs, or {sql} in the database.", {
      command: h("code", {}, `${document.documentElement.dataset.command} init orders`),
      sql: h("code", {}, "SELECT pgmq.create('orders')"),
    }),
  );

const elsewhere = askedFor();
if (elsewhere) location.replace(elsewhere);
else openPage({ active: "queues", title: t("Queues"), view });
