// The frame of every view: links to the other views, the connection, and the time of the last refresh.
import { here, to } from "../address.js";
import { h, icon, replace } from "../dom.js";
import { instant } from "../format.js";
import { framed, hostLink, isTab, showAddress } from "../host.js";
import { rich, t } from "../language.js";
import { Refresh } from "../refresh.js";
import { openSession } from "../session.js";
import { empty, failure } from "./notice.js";

const VIEWS = [
  ["queues", "", t("Queues")],
  ["jobs", "jobs", t("Periodic jobs")],
  ["calendars", "calendars", t("Calendars")],
];

// `view(session, main)` draws once and returns a function that loads and shows the data; each refresh calls it. A
// page without `title` keeps the one that it came with, such as the name of a queue.
export function openPage({ active, title = null, view }) {
  if (title) document.title = `${title} · PGMQ`;
  const narrow = isTab();
  const main = h("main", { id: "main", tabindex: "-1" });
  const picker = h("div", { class: "picker" });
  const failed = h("div", { class: "failed" });
  const updated = h("span", { class: "updated" });
  let session = null;
  let load = null;

  // Keep an unchanged failure: a new one would be read out again, and its button would lose the focus.
  const fail = (error) => {
    const state = error ? `${error.status} ${error.message}` : "";
    if (failed.dataset.state === state) return;
    failed.dataset.state = state;
    const retry = () => refresh.now();
    replace(failed, error && failure(error, session?.connection?.connection_id, retry));
  };

  const refresh = new Refresh(async (signal) => {
    try {
      session ??= await openSession(signal);
      if (!session.connection) {
        replace(main, noConnection(session));
        session = null;
        fail(null);
        main.hidden = false;
        return;
      }
      if (!load) {
        replace(picker, connectionPicker(session));
        load = view(session, main, () => refresh.now());
      }
      await load(signal);
      fail(null);
      main.hidden = false;
      replace(updated, rich("Updated {time}", { time: h("time", {}, instant(new Date().toISOString())) }));
    } catch (error) {
      if (error.name === "AbortError") throw error;
      if (!error.status && error.status !== 0) console.error(error);
      fail(error);
      main.hidden = !updated.textContent;
      main.classList.add("stale");
      return;
    }
    main.classList.remove("stale");
  });

  const again = h(
    "button",
    {
      type: "button",
      class: "icon-button",
      onclick: () => refresh.now(),
      "aria-label": t("Refresh"),
      title: t("Refresh now (automatic every 10 seconds)"),
    },
    icon("refresh"),
  );
  replace(
    document.getElementById("page"),
    h(
      "header",
      { class: narrow ? "bar narrow" : "bar" },
      !narrow &&
        h(
          "nav",
          { "aria-label": "PGMQ" },
          // Without Airflow's page around it, there is no menu to return to Airflow.
          !framed && hostLink("", {}, "Airflow"),
          VIEWS.map(([name, path, label]) =>
            h(
              "a",
              { href: to(path), "aria-current": name === active ? "page" : null, "data-view": path },
              label,
            ),
          ),
        ),
      h("div", { class: "side" }, picker, updated, again),
    ),
    failed,
    main,
  );
  refresh.now();
  // After Airflow's own handler of this event, which also writes the address in newer versions.
  window.addEventListener("load", () => setTimeout(showAddress));
  return refresh;
}

function connectionPicker({ connections, connection }) {
  // The links above were made before the connection was known.
  for (const link of document.querySelectorAll("nav a[data-view]")) link.href = to(link.dataset.view);
  if (connections.length < 2) return null;
  const select = h(
    "select",
    {
      "aria-label": t("Connection"),
      onchange: () => location.assign(here({ connection_id: select.value, msg_id: null, q: null })),
    },
    connections.map(({ connection_id, description }) =>
      h(
        "option",
        { value: connection_id, title: description, selected: connection_id === connection.connection_id },
        connection_id,
      ),
    ),
  );
  select.value = connection.connection_id;
  return select;
}

function noConnection({ wanted, connections }) {
  const add = hostLink("connections", {}, t("Airflow's connections"));
  if (!wanted) {
    return empty(
      t("No connection to a queue yet"),
      rich("Add one of type PGMQ, called {name}, in {connections}. It must lead to the database of the queues.", {
        name: "pgmq_default",
        connections: add,
      }),
    );
  }
  const others = connections.map(({ connection_id }) =>
    h("a", { href: here({ connection_id }) }, connection_id),
  );
  return empty(
    t("There is no connection {name}", { name: wanted }),
    others.length
      ? rich("Add it in {connections} as type PGMQ, or look at: {others}", {
          connections: add,
          others: others.flatMap((link) => [link, " "]),
        })
      : rich("Add it in {connections} as type PGMQ.", { connections: add }),
  );
}
