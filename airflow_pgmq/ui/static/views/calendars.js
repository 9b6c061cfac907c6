// Calendars: days off, and the jobs that leave them out.
import { toJob } from "../address.js";
import { api, get, post } from "../api.js";
import { h, replace } from "../dom.js";
import { ago, exact, full, plural } from "../format.js";
import { calendarForm } from "../parts/calendar_form.js";
import { confirm } from "../parts/confirm.js";
import { openPage } from "../parts/frame.js";
import { empty, problemList } from "../parts/notice.js";
import { searchBox, sought } from "../parts/search.js";
import { Table, scrolling } from "../parts/table.js";
import { toast } from "../parts/toast.js";

function view({ connection }, main, reload) {
  const connectionId = connection.connection_id;
  let calendars = [];
  const table = new Table({ caption: "Calendars", columns: columns(), key: ({ name }) => name, sort: "name" });
  const search = searchBox("calendars", () => draw());
  const summary = h("p", { class: "summary" });
  const add =
    connection.may_write && h("button", { type: "button", onclick: () => put({}) }, "Add calendar…");
  const tools = h("div", { class: "tools" }, search, summary, add);
  const box = scrolling(table, "Calendars");
  const nothing = h("div");
  replace(main, h("h1", { class: "visually-hidden" }, "Calendars"), tools, box, nothing);

  function columns() {
    const always = [
      {
        id: "name",
        label: "Calendar",
        by: ({ name }) => name,
        cell: (calendar) => [
          h("span", { class: "name" }, calendar.name),
          calendar.is_missing && problemList([missing(calendar)], `Problems of ${calendar.name}`),
        ],
      },
      {
        id: "days",
        label: "Days",
        numeric: true,
        by: ({ days }) => days,
        cell: (calendar) => (calendar.days ? daysButton(calendar) : full(calendar.days ?? "–")),
      },
      {
        id: "next",
        label: "Next days off",
        wide: true,
        by: ({ next_days }) => next_days[0]?.day,
        cell: ({ next_days, last_day }) =>
          next_days.length
            ? next_days.map(dayOff)
            : h("span", { class: "muted" }, last_day ? `none after ${last_day}` : "–"),
      },
      {
        id: "jobs",
        label: "Jobs",
        by: ({ jobs }) => jobs,
        cell: ({ jobs, first_jobs }) => [
          first_jobs.map(({ namespace, name }, index) => [
            index ? ", " : "",
            h("a", { href: toJob(namespace, name) }, `${namespace}/${name}`),
          ]),
          jobs > first_jobs.length ? ` and ${full(jobs - first_jobs.length)} more` : jobs ? "" : "–",
        ],
      },
      {
        id: "changed_at",
        label: "Changed",
        by: ({ changed_at }) => changed_at,
        // The text changes with time, too.
        changes: ({ changed_at }) => [changed_at, ago(changed_at)],
        cell: ({ changed_at }) =>
          changed_at ? h("time", { datetime: changed_at, title: exact(changed_at) }, ago(changed_at)) : "–",
      },
    ];
    if (!connection.may_write) return always;
    const actions = {
      id: "actions",
      label: "Actions",
      hidden: true,
      cell: (calendar) => h("div", { class: "buttons" }, buttons(calendar)),
    };
    return [...always, actions];
  }

  function buttons(calendar) {
    const { name } = calendar;
    const button = (label, act, props = {}) =>
      h("button", { type: "button", "aria-label": `${label} ${name}`, onclick: act, ...props }, `${label}…`);
    if (calendar.is_missing) return button("Add", () => put({ name }));
    return [
      button("Edit", () => edit(name)),
      button("Delete", () => remove(calendar), { class: "danger" }),
    ];
  }

  // All days, in a row below; pressed again, it closes.
  function daysButton({ name, days }) {
    const toggle = async () => {
      const isOpen = button.getAttribute("aria-expanded") === "true";
      button.setAttribute("aria-expanded", String(!isOpen));
      if (isOpen) return table.detail(name, null);
      const found = await load(name);
      if (found)
        table.detail(name, h("ul", { class: "days-off" }, found.days.map((each) => h("li", {}, dayOff(each)))));
    };
    const button = h(
      "button",
      { type: "button", "aria-expanded": "false", "aria-label": `Days of ${name}`, onclick: toggle },
      full(days),
    );
    return button;
  }

  // Null, and said, if it cannot be had: somebody may have deleted it meanwhile.
  const load = (name) =>
    get(api(connectionId, "calendars", name)).catch((error) => {
      toast(`${name}: ${error.message}`);
      return null;
    });

  async function edit(name) {
    const calendar = await load(name);
    if (calendar) await put({ calendar });
  }

  async function put(what) {
    const done = await calendarForm({ connectionId, ...what });
    if (!done) return;
    const taken = done.taken_back ? `; ${plural(done.taken_back, "message")} taken back` : "";
    toast(`${done.name}: ${plural(done.days, "day")}${taken}`);
    reload();
  }

  async function remove({ name, jobs }) {
    const found = await load(name);
    if (!found) return;
    const body = { expected_version: found.version };
    const act = () => post(api(connectionId, "calendars", name, "delete"), body);
    const users = jobs ? `${plural(jobs, "job uses", "jobs use")} it and will wait until it is there again.` : "";
    const question = { title: `Delete calendar ${name}?`, text: users || "No job uses it.", action: "Delete" };
    if (!(await confirm({ ...question, danger: true, act }))) return;
    toast(`${name}: deleted`);
    reload();
  }

  function draw() {
    const wanted = sought(search);
    const shown = calendars.filter(({ name }) => name.toLowerCase().includes(wanted));
    table.show(shown);
    box.hidden = !shown.length;
    search.hidden = !calendars.length;
    tools.hidden = !calendars.length && !add;
    replace(summary, calendars.length ? plural(calendars.length, "calendar") : null);
    replace(nothing, shown.length ? null : none());
  }

  const none = () =>
    calendars.length
      ? empty("No calendar matches", "Try another search.")
      : empty(
          "No calendars yet",
          "A calendar has days off. Jobs leave them out with ",
          h("code", {}, 'exclude=[Calendar("holidays")]'),
          ".",
        );

  return async (signal) => {
    calendars = (await get(api(connectionId, "calendars"), {}, signal)).calendars;
    draw();
  };
}

const dayOff = ({ day, reason }) =>
  h(
    "span",
    { class: "day-off" },
    h("time", { datetime: day }, day),
    reason && h("span", { class: "muted" }, ` ${reason}`),
  );

const missing = ({ jobs }) => ({
  severity: "error",
  text: `There is no such calendar, so ${plural(jobs, "job waits", "jobs wait")} for it.`,
});

openPage({ active: "calendars", view });
