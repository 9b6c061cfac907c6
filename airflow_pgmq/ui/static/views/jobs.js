// Periodic jobs: their next slots, the states of their last slots, and the last tick of each namespace.
import { param, toJob } from "../address.js";
import { api, get } from "../api.js";
import { h, replace } from "../dom.js";
import { ago, plural } from "../format.js";
import { dagPath, hostLink } from "../host.js";
import { openPage } from "../parts/frame.js";
import { COLUMNS } from "../parts/job.js";
import { JobActions } from "../parts/job_actions.js";
import { jobForm, words } from "../parts/job_form.js";
import { empty, problemList } from "../parts/notice.js";
import { legend } from "../parts/slots.js";
import { searchBox, sought } from "../parts/search.js";
import { Table, scrolling } from "../parts/table.js";

function view({ connection }, main, reload) {
  const actions = new JobActions({ connectionId: connection.connection_id, reload });
  const columns = connection.may_write
    ? [
        ...COLUMNS,
        {
          id: "actions",
          label: "Actions",
          hidden: true,
          cell: (job) => h("div", { class: "buttons" }, actions.buttons(job)),
          changes: (job) => [job.namespace, job.name, job.paused],
        },
      ]
    : COLUMNS;
  const sections = new Map();
  const list = h("div");
  const none = h("div");
  const search = searchBox("jobs", () => draw());
  const summary = h("p", { class: "summary" });
  const marks = legend();
  const add = connection.may_write && h("button", { type: "button", onclick: () => addJob() }, "Add live job…");
  const tools = h("div", { class: "tools" }, search, summary, marks, add);
  replace(main, h("h1", { class: "visually-hidden" }, "Periodic jobs"), tools, list, none);
  let data = { namespaces: [], jobs: [] };

  async function addJob() {
    const known = data.namespaces.map(({ namespace }) => namespace);
    const lists = await words(connection.connection_id, known);
    const done = await jobForm({ connectionId: connection.connection_id, lists });
    if (done) location.assign(toJob(done.namespace, done.name));
  }

  function draw() {
    const wanted = sought(search);
    const only = param("namespace");
    const matches = ({ name, queue_name, namespace }) =>
      (!only || namespace === only) &&
      [name, queue_name, namespace].some((text) => text.toLowerCase().includes(wanted));
    const shown = data.namespaces
      .filter(({ namespace }) => !only || namespace === only)
      .map((namespace) => ({
        namespace,
        jobs: data.jobs.filter((job) => job.namespace === namespace.namespace && matches(job)),
      }))
      .filter(({ jobs }) => jobs.length || !wanted);
    for (const each of sections.values()) each.element.hidden = true;
    shown.forEach(section);
    replace(none, shown.length ? null : nothing());
    replace(summary, data.jobs.length ? plural(data.jobs.length, "job") : null);
    search.hidden = marks.hidden = !data.jobs.length;
    tools.hidden = !data.jobs.length && !add;
  }

  function section({ namespace, jobs }) {
    const name = namespace.namespace;
    const part = sections.get(name) ?? newSection(namespace);
    part.element.hidden = false;
    part.box.hidden = !jobs.length;
    replace(
      part.tick,
      ` · ${namespace.last_tick_at ? `ticked ${ago(namespace.last_tick_at)}` : "never ticked"}`,
      namespace.version ? ` · version ${namespace.version}` : "",
    );
    replace(part.problems, problemList(namespace.problems, `Problems of ${name}`));
    part.table.show(jobs);
  }

  function newSection({ namespace, dag_id }) {
    const table = new Table({
      caption: `Jobs of ${namespace}`,
      columns,
      key: (job) => job.name,
      sort: "name",
    });
    const part = {
      table,
      tick: h("span"),
      problems: h("div"),
      box: scrolling(table, `Jobs of ${namespace}`),
    };
    part.element = h(
      "section",
      { class: "namespace", "aria-label": namespace },
      h(
        "header",
        {},
        h("h2", {}, namespace),
        h("p", { class: "sub" }, hostLink(dagPath(dag_id), {}, `Dag ${dag_id}`), part.tick),
      ),
      part.problems,
      part.box,
    );
    sections.set(namespace, part);
    list.append(part.element);
    return part;
  }

  return async (signal) => {
    data = await get(api(connection.connection_id, "jobs"), {}, signal);
    draw();
  };

  function nothing() {
    return data.jobs.length
      ? empty("No job matches", "Try another search.")
      : empty(
          "No periodic jobs yet",
          "Declare them in a Dag that runs every minute: ",
          h("code", {}, 'PgmqPeriodicOperator(task_id="tick", jobs=[PeriodicJob(…)])'),
          ". They appear here after its first run.",
        );
  }
}

openPage({ active: "jobs", view });
