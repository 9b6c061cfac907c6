// One message with all that is known of it. Its content is shown to those who may see it, as text.
import { toQueue } from "../address.js";
import { h, icon } from "../dom.js";
import { ago, exact, full, instant } from "../format.js";
import { hostLink, runPath, taskPath } from "../host.js";
import { json } from "./json.js";

export function messageDetail(message, mayPeek) {
  const facts = [
    ["Enqueued", moment(message.enqueued_at)],
    [
      message.state === "visible" ? "Visible since" : "Visible",
      message.archived_at ? null : moment(message.vt),
    ],
    ["Archived", moment(message.archived_at)],
    ["Expires", moment(message.expires_at)],
    ["Reads", full(message.read_ct)],
    ["Dedup key", message.dedup_key && h("code", {}, message.dedup_key)],
    ["Job", message.job && [message.namespace && `${message.namespace} / `, message.job]],
    ["Slot", moment(message.slot)],
    ["FIFO group", message.group],
    ["Sent by", message.source && source(message.source)],
    ...deadLetter(message.dead_letter),
  ];
  return h(
    "div",
    { class: "message" },
    h(
      "dl",
      { class: "facts" },
      facts
        .filter(([, value]) => value)
        .map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value))),
    ),
    mayPeek
      ? content(message)
      : h(
          "p",
          { class: "locked" },
          icon("lock"),
          "The content is shown to users who may see the connection in Airflow.",
        ),
  );
}

function content({ message, headers, redacted }) {
  return h(
    "div",
    { class: "content" },
    h(
      "section",
      {},
      h("h3", {}, "Message", redacted && h("span", { class: "tag" }, "values hidden")),
      json(message, "Message"),
    ),
    h("section", {}, h("h3", {}, "Headers"), json(headers ?? {}, "Headers")),
  );
}

const moment = (iso) =>
  iso && [
    h("time", { datetime: iso, title: exact(iso) }, instant(iso)),
    h("span", { class: "muted" }, ` ${ago(iso)}`),
  ];

function deadLetter(found) {
  if (!found) return [];
  const { queue, msg_id, reason, read_ct, enqueued_at } = found;
  return [
    ["Reason", reason],
    ["Died in", queue && [h("a", { href: toQueue(queue) }, queue), msg_id ? `, message ${msg_id}` : null]],
    ["Reads before", read_ct === undefined ? null : full(read_ct)],
    ["First enqueued", moment(enqueued_at)],
  ];
}

// The task that sent it, and its run, as links into Airflow.
export function source(from) {
  if (!from?.dag_id) return null;
  if (!from.run_id || !from.task_id) return from.dag_id;
  return [
    hostLink(taskPath(from), {}, `${from.dag_id}.${from.task_id}`),
    from.map_index >= 0 ? `[${from.map_index}]` : null,
    h("span", { class: "muted" }, " in "),
    hostLink(runPath(from), { class: "run" }, from.run_id),
  ];
}
