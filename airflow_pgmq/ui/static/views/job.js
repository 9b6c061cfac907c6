// One periodic job: what comes, what became of its last slots, its definition, and its versions.
import { to, toQueue } from "../address.js";
import { api, get } from "../api.js";
import { h, renew, replace } from "../dom.js";
import { full, zone } from "../format.js";
import { dagPath, hostLink } from "../host.js";
import { rich, t } from "../language.js";
import { calendar } from "../parts/calendar.js";
import { daily } from "../parts/daily.js";
import { definition, versions } from "../parts/definition.js";
import { openPage } from "../parts/frame.js";
import { WORST, heatmap } from "../parts/heatmap.js";
import { last, time } from "../parts/job.js";
import { JobActions } from "../parts/job_actions.js";
import { empty, problemList } from "../parts/notice.js";
import { LiveJob } from "../parts/live_job.js";
import { Outcomes } from "../parts/outcomes.js";
import { legend } from "../parts/slots.js";

const [NAMESPACE, NAME] = location.pathname.split("/ui/job/").pop().split("/").map(decodeURIComponent);
const PARTS = {
  history: t("The last slots: not everything could be looked at."),
  calendar: t("The next days: not everything could be looked at."),
  dead_letters: t("Dead letters: not everything could be looked at."),
  overdue: t("Overdue slots: not everything could be looked at."),
  versions: t("The versions: not everything could be looked at."),
};
const MOST_OVERDUE = 20;

function view({ connection }, main, reload) {
  const actions = connection.may_write
    ? new JobActions({ connectionId: connection.connection_id, reload })
    : null;
  const live = connection.may_write
    ? new LiveJob({ connectionId: connection.connection_id, namespace: NAMESPACE, name: NAME, reload })
    : null;
  const heading = h("div", { class: "heading" });
  const problems = h("div");
  const stats = h("dl", { class: "stats job-stats" });
  const next = section(t("Next days"));
  const past = section(t("Last slots"));
  const outcomes = new Outcomes();
  const each = section(t("Slot by slot"), outcomes.element);
  const own = section(t("Definition"));
  const noted = section(t("Versions"));
  replace(
    main,
    heading,
    problems,
    stats,
    next.element,
    past.element,
    each.element,
    own.element,
    noted.element,
  );

  return async (signal) => {
    const found = await get(api(connection.connection_id, "jobs", NAMESPACE, NAME), {}, signal);
    const { job, history } = found;
    renew(heading, [job, found.definition], () => head(found, actions, live));
    renew(problems, [job?.problems, found.overdue, found.missing], () => wrong(found));
    renew(stats, [job, found.dead_letters, found.overdue], () => job && facts(found, actions));
    next.show(found.calendar, () => [
      h("p", { class: "hint" }, t("Slots per day, in {zone}.", { zone: found.calendar.zone })),
      calendar(found.calendar),
    ]);
    past.show(job && history.slots, () => lastSlots(history));
    outcomes.show(history?.slots ?? []);
    each.element.hidden = !history?.slots.length;
    own.show(found.definition, () => definition(found.definition));
    noted.show(found.versions?.length && found.versions, () =>
      versions(found.versions, live && ((each) => live.restore(found, each))),
    );
  };
}

// A part with a heading; `show` redraws it if its data has changed, and hides it if there is none.
function section(title, ...children) {
  const body = h("div", {}, children);
  const element = h("section", { class: "part", "aria-label": title }, h("h2", {}, title), body);
  const show = (data, make) => {
    element.hidden = !data;
    if (data) renew(body, data, make);
  };
  return { element, show };
}

const head = (found, actions, live) => [
  h("a", { class: "crumb", href: to("jobs") }, t("Periodic jobs")),
  h("span", { class: "crumb muted", "aria-hidden": "true" }, "/"),
  h("a", { class: "crumb", href: to("jobs", { namespace: NAMESPACE }) }, NAMESPACE),
  h("span", { class: "crumb muted", "aria-hidden": "true" }, "/"),
  h("h1", {}, NAME),
  found.job?.version ? h("span", { class: "tag" }, `v${found.job.version}`) : null,
  found.job?.live && h("span", { class: "tag", title: t("Changed at run time, not in a Dag") }, t("live")),
  found.job?.paused && h("span", { class: "tag paused" }, t("paused")),
  !found.job && h("span", { class: "tag" }, t("deleted")),
  h(
    "div",
    { class: "buttons" },
    found.job && actions?.buttons(found.job),
    found.job?.live && live?.buttons(found),
  ),
];

function wrong({ job, overdue, missing }) {
  const late = (overdue ?? []).slice(0, MOST_OVERDUE).map(({ text }) => ({ severity: "warning", text }));
  const more = (overdue?.length ?? 0) - late.length;
  if (more > 0) late.push({ severity: "warning", text: t("{count} more slots overdue.", { count: more }) });
  const lost = missing.map(({ part, text }) => ({
    severity: "warning",
    text: `${PARTS[part]} ${text ?? t("Users who may read the connection are told why.")}`,
  }));
  return problemList([...(job?.problems ?? []), ...late, ...lost], t("Problems of {name}", { name: NAME }));
}

function facts({ job, dead_letters, overdue }, actions) {
  return [
    fact(t("Schedule"), job.words, h("span", { class: "sub" }, h("code", {}, job.schedule), " ", job.timezone)),
    fact(t("Next"), upcoming(job, actions)),
    fact(t("Last slot"), last(job)),
    fact(
      t("Queue"),
      h("a", { href: toQueue(job.queue_name, { by: "job", q: `${NAMESPACE}/${NAME}` }) }, job.queue_name),
    ),
    fact(t("Dead letters"), deadLetters(job, dead_letters)),
    overdue && fact(t("Overdue"), full(overdue.length)),
    job.dag_id &&
      fact(
        job.live ? t("Ticked by") : t("Declared in"),
        hostLink(dagPath(job.dag_id), {}, t("Dag {dag}", { dag: job.dag_id })),
      ),
  ];
}

const fact = (term, ...value) => h("div", {}, h("dt", {}, term), h("dd", {}, value));

function upcoming(job, actions) {
  if (!job.next_slots.length)
    return h("span", { class: "muted" }, job.paused ? t("when resumed") : t("no further runs"));
  return h(
    "ol",
    { class: "upcoming" },
    job.next_slots.map((slot) =>
      h("li", {}, time(slot), actions && h("span", { class: "buttons" }, actions.skip(job, slot))),
    ),
  );
}

function deadLetters({ queue_name }, { count }) {
  if (count === null) return t("unknown");
  if (!count) return "0";
  return h(
    "a",
    {
      class: "bad",
      href: toQueue(queue_name, { tab: "dead_letters", by: "job", q: `${NAMESPACE}/${NAME}` }),
    },
    full(count),
  );
}

function lastSlots({ slots, most }) {
  if (!slots.length) return empty(t("No slots yet"), t("Slots appear here when their time has come."));
  return [
    h(
      "p",
      { class: "hint" },
      t("Of the last 14 days, at most {count} slots; by day and hour in {zone}, with the worst state in each hour.", {
        count: most,
        zone,
      }),
    ),
    legend(WORST),
    heatmap(slots),
    h("h3", {}, t("From visible to acked, by day")),
    daily(slots),
    h(
      "p",
      { class: "hint" },
      rich(
        "How long a slot took is known from the archive. A message that was acked with {code}, deleted or pruned is in no archive: its slot is gone, without a duration.",
        { code: h("code", {}, 'ack="delete"') },
      ),
    ),
  ];
}

openPage({ active: "jobs", view });
