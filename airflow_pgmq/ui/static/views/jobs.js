// Periodic jobs: their next slots, the states of their last slots, and the last tick of each namespace.
import { param, toJob } from "../address.js";
import { api, get } from "../api.js";
import { h, replace } from "../dom.js";
import { ago } from "../format.js";
import { dagPath, hostLink } from "../host.js";
import { rich, t } from "../language.js";
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
          label: t("Actions"),
          hidden: true,
          cell: (job) => h("div", { class: "buttons" }, actions.buttons(job)),
          changes: (job) => [job.namespace, job.name, job.paused],
        },
      ]
    : COLUMNS;
  const sections = new Map();
  const list = h("div");
  const none = h("div");
  const search = searchBox(t("Search jobs"), () => draw());
  const summary = h("p", { class: "summary" });
  const marks = legend();
  const add = connection.may_write && h("button", { type: "button", onclick: () => addJob() }, t("Add live job…"));
  const tools = h("div", { class: "tools" }, search, summary, marks, add);
  replace(main, h("h1", { class: "visually-hidden" }, t("Periodic jobs")), tools, list, none);
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
    replace(summary, data.jobs.length ? t("{count} jobs", { count: data.jobs.length }) : null);
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
      " · ",
      namespace.last_tick_at ? t("ticked {ago}", { ago: ago(namespace.last_tick_at) }) : t("never ticked"),
      namespace.version ? [" · ", t("version {version}", { version: String(namespace.version) })] : "",
    );
    replace(part.problems, problemList(namespace.problems, t("Problems of {name}", { name })));
    part.table.show(jobs);
  }

  function newSection({ namespace, dag_id }) {
    const table = new Table({
      caption: t("Jobs of {namespace}", { namespace }),
      columns,
      key: (job) => job.name,
      sort: "name",
    });
    const part = {
      table,
      tick: h("span"),
      problems: h("div"),
      box: scrolling(table, t("Jobs of {namespace}", { namespace })),
    };
    part.element = h(
      "section",
      { class: "namespace", "aria-label": namespace },
      h(
        "header",
        {},
        h("h2", {}, namespace),
        h("p", { class: "sub" }, hostLink(dagPath(dag_id), {}, t("Dag {dag}", { dag: dag_id })), part.tick),
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
      ? empty(t("No job matches"), t("Try another search."))
      : empty(
          t("No periodic jobs yet"),
          rich("Declare them in a Dag that runs every minute: {code}. They appear here after its first run.", {
            code: h("code", {}, 'PgmqPeriodicOperator(task_id="tick", jobs=[PeriodicJob(…)])'),
          }),
        );
  }
}

openPage({ active: "jobs", title: t("Periodic jobs"), view });
