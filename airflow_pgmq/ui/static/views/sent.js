// The tab of a Dag, run or task in Airflow: the messages that it sent, in whichever queue they are now.
import { param, toQueue } from "../address.js";
import { api, get } from "../api.js";
import { coded, h, replace } from "../dom.js";
import { fromHost, isTab, viewLink } from "../host.js";
import { rich, t } from "../language.js";
import { openPage } from "../parts/frame.js";
import { Messages, READS, STATE, moment } from "../parts/messages.js";
import { empty } from "../parts/notice.js";

const COLUMNS = [
  {
    id: "queue_name",
    label: t("Queue"),
    changes: ({ queue_name }) => queue_name,
    cell: ({ queue_name, msg_id }) => viewLink(toQueue(queue_name, { msg_id }), {}, queue_name),
  },
  STATE,
  READS,
  moment("enqueued_at", t("Enqueued"), (each) => each.enqueued_at),
];

// Airflow leaves a placeholder without a value unchanged, for example for a task that is not mapped.
const given = (name) => (/^\{.*\}$/.test(param(name)) ? "" : fromHost(param(name)));
const what = () => (given("task_id") ? "task" : given("run_id") ? "run" : "dag");

const SENT = {
  task: (count) => t("This task sent {count} messages that can still be found.", { count }),
  run: (count) => t("This run sent {count} messages that can still be found.", { count }),
  dag: (count) => t("This Dag sent {count} messages that can still be found.", { count }),
};
const NOTHING = {
  task: (id) => t("This task has sent nothing through {id} that can still be found.", { id }),
  run: (id) => t("This run has sent nothing through {id} that can still be found.", { id }),
  dag: (id) => t("This Dag has sent nothing through {id} that can still be found.", { id }),
};

function view({ connection }, main) {
  const list = new Messages({
    label: t("Messages sent"),
    mayPeek: connection.may_peek,
    columns: COLUMNS,
    alone: ({ queue_name, msg_id }, text) => viewLink(toQueue(queue_name, { msg_id }), {}, text),
    sender: !given("task_id"),
  });
  const summary = h("p", { class: "summary" });
  const nothing = h("div");
  const leftOut = h("div");
  const of = [given("dag_id"), given("task_id")].filter(Boolean).join(".");
  replace(
    main,
    h("h1", { class: isTab() ? "visually-hidden" : null }, t("Messages sent by {sender}", { sender: of })),
    summary,
    list.element,
    nothing,
    leftOut,
  );

  return async (signal) => {
    const mapIndex = /^-?\d+$/.test(given("map_index")) ? given("map_index") : given("task_id") ? "-1" : "";
    const { messages, left_out } = await get(
      api(connection.connection_id, "dags", given("dag_id"), "sent"),
      {
        run_id: given("run_id"),
        task_id: given("task_id"),
        map_index: mapIndex,
      },
      signal,
    );
    list.show(messages);
    replace(
      summary,
      messages.length ? SENT[what()](messages.length) : null,
    );
    replace(leftOut, ...left_out.map(({ queue_name, text }) => h("p", { class: "summary" }, rich("Not searched: {what}", { what: text ? coded(text) : queue_name }))));
    replace(
      nothing,
      messages.length
        ? null
        : empty(
            t("No messages here"),
            NOTHING[what()](connection.connection_id),
            " ",
            t("Messages of PGMQ tasks are listed here while they are among the newest 500 of their queue or its archive."),
          ),
    );
  };
}

openPage({ active: null, title: t("Messages sent"), view });
