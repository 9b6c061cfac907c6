// Calendars: days off, and the jobs that leave them out.
import { toJob } from "../address.js";
import { api, get, post } from "../api.js";
import { h, replace } from "../dom.js";
import { ago, exact, full } from "../format.js";
import { rich, t } from "../language.js";
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
  const table = new Table({ caption: t("Calendars"), columns: columns(), key: ({ name }) => name, sort: "name" });
  const search = searchBox(t("Search calendars"), () => draw());
  const summary = h("p", { class: "summary" });
  const add =
    connection.may_write && h("button", { type: "button", onclick: () => put({}) }, t("Add calendar…"));
  const tools = h("div", { class: "tools" }, search, summary, add);
  const box = scrolling(table, t("Calendars"));
  const nothing = h("div");
  replace(main, h("h1", { class: "visually-hidden" }, t("Calendars")), tools, box, nothing);

  function columns() {
    const always = [
      {
        id: "name",
        label: t("Calendar"),
        by: ({ name }) => name,
        cell: (calendar) => [
          h("span", { class: "name" }, calendar.name),
          calendar.is_missing && problemList([missing(calendar)], t("Problems of {name}", { name: calendar.name })),
        ],
      },
      {
        id: "days",
        label: t("Days"),
        numeric: true,
        by: ({ days }) => days,
        cell: (calendar) => (calendar.days ? daysButton(calendar) : full(calendar.days ?? "–")),
      },
      {
        id: "next",
        label: t("Next days off"),
        wide: true,
        by: ({ next_days }) => next_days[0]?.day,
        cell: ({ next_days, last_day }) =>
          next_days.length
            ? next_days.map(dayOff)
            : h("span", { class: "muted" }, last_day ? t("none after {day}", { day: last_day }) : "–"),
      },
      {
        id: "jobs",
        label: t("Jobs"),
        by: ({ jobs }) => jobs,
        cell: ({ jobs, first_jobs }) => {
          const links = first_jobs.map(({ namespace, name }, index) => [
            index ? t(", ") : "",
            h("a", { href: toJob(namespace, name) }, `${namespace}/${name}`),
          ]);
          const more = jobs - first_jobs.length;
          return more > 0 ? rich("{jobs} and {number} more", { jobs: links, number: more }) : jobs ? links : "–";
        },
      },
      {
        id: "changed_at",
        label: t("Changed"),
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
      label: t("Actions"),
      hidden: true,
      cell: (calendar) => h("div", { class: "buttons" }, buttons(calendar)),
    };
    return [...always, actions];
  }

  function buttons(calendar) {
    const { name } = calendar;
    const button = (text, label, act, props = {}) =>
      h("button", { type: "button", "aria-label": label, onclick: act, ...props }, text);
    if (calendar.is_missing) return button(t("Add…"), t("Add {name}", { name }), () => put({ name }));
    return [
      button(t("Edit…"), t("Edit {name}", { name }), () => edit(name)),
      button(t("Delete…"), t("Delete {name}", { name }), () => remove(calendar), { class: "danger" }),
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
      { type: "button", "aria-expanded": "false", "aria-label": t("Days of {name}", { name }), onclick: toggle },
      full(days),
    );
    return button;
  }

  // Null, and said, if it cannot be had: somebody may have deleted it meanwhile.
  const load = (name) =>
    get(api(connectionId, "calendars", name)).catch((error) => {
      toast(name, error.message);
      return null;
    });

  async function edit(name) {
    const calendar = await load(name);
    if (calendar) await put({ calendar });
  }

  async function put(what) {
    const done = await calendarForm({ connectionId, ...what });
    if (!done) return;
    const taken = done.taken_back ? t("{count} messages taken back", { count: done.taken_back }) : null;
    toast(done.name, t("{count} days", { count: done.days }), taken);
    reload();
  }

  async function remove({ name, jobs }) {
    const found = await load(name);
    if (!found) return;
    const body = { expected_version: found.version };
    const act = () => post(api(connectionId, "calendars", name, "delete"), body);
    const users = jobs
      ? t("{count} jobs use it and will wait until it is there again.", { count: jobs })
      : t("No job uses it.");
    const question = { title: t("Delete calendar {name}?", { name }), text: users, action: t("Delete") };
    if (!(await confirm({ ...question, danger: true, act }))) return;
    toast(name, t("deleted"));
    reload();
  }

  function draw() {
    const wanted = sought(search);
    const shown = calendars.filter(({ name }) => name.toLowerCase().includes(wanted));
    table.show(shown);
    box.hidden = !shown.length;
    search.hidden = !calendars.length;
    tools.hidden = !calendars.length && !add;
    replace(summary, calendars.length ? t("{count} calendars", { count: calendars.length }) : null);
    replace(nothing, shown.length ? null : none());
  }

  const none = () =>
    calendars.length
      ? empty(t("No calendar matches"), t("Try another search."))
      : empty(
          t("No calendars yet"),
          rich("A calendar has days off. Jobs leave them out with {code}.", {
            code: h("code", {}, 'exclude=[Calendar("holidays")]'),
          }),
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
  text: t("There is no such calendar, so {count} jobs wait for it.", { count: jobs }),
});

openPage({ active: "calendars", title: t("Calendars"), view });
