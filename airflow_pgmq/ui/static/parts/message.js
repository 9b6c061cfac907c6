// The details of a message. Its content is shown as text, to users who may see it.
import { isName, toQueue } from "../address.js";
import { asText, h, icon } from "../dom.js";
import { ago, exact, full, instant, plural } from "../format.js";
import { hostLink, isMapped, runPath, taskPath } from "../host.js";
import { json } from "./json.js";

export function messageDetail(message, alone) {
  const facts = [
    ["Enqueued", moment(message.enqueued_at)],
    [
      message.state === "visible" ? "Visible since" : "Visible",
      message.archived_at ? null : moment(message.vt),
    ],
    ["Archived", moment(message.archived_at)],
    ["Expires", moment(message.expires_at)],
    [message.dead_letter ? "Reads since" : "Reads", full(message.read_ct)],
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
        .map(([term, value]) => h("div", { class: term === "Reason" ? "wide" : null }, h("dt", {}, term), h("dd", {}, value))),
    ),
    "message" in message
      ? content(message, alone)
      : h(
          "p",
          { class: "locked" },
          icon("lock"),
          "Only users who may read the connection in Airflow see the content.",
        ),
  );
}

function content(found, alone) {
  const { message, headers, redacted, too_large } = found;
  return h(
    "div",
    { class: "content" },
    h(
      "section",
      {},
      h("h3", {}, "Message", redacted && h("span", { class: "tag" }, "values hidden")),
      too_large
        ? h("p", { class: "muted" }, "Too large to show in a list: ", alone(found, "open this message alone"), ".")
        : json(message, "Message"),
    ),
    h("section", {}, h("h3", {}, "Headers"), json(headers ?? {}, "Headers")),
  );
}

const moment = (iso) =>
  iso && [
    h("time", { datetime: iso, title: exact(iso) }, instant(iso)),
    " ",
    h("span", { class: "muted", "data-ago": iso }, ago(iso)),
  ];

function deadLetter(found) {
  if (!found) return [];
  const { queue, msg_id, reason, read_ct, tries, enqueued_at } = found;
  return [
    ["Reason", reason],
    ["Failed in", queue && [queueLink(queue), msg_id ? [", message ", msg_id] : null]],
    ["Failed after", died(tries, read_ct)],
    ["First enqueued", moment(enqueued_at)],
  ];
}

// Reads include those of consumers that gave the message back untried.
function died(tries, reads) {
  if (tries === null || tries === undefined) return null;
  const times = plural(tries, "try", "tries");
  return tries === reads || typeof reads !== "number" ? times : `${times}, in ${plural(reads, "read")}`;
}

const queueLink = (queue) =>
  isName(queue) ? h("a", { href: toQueue(queue) }, queue) : asText(queue);

const isTask = ({ dag_id, run_id, task_id }) =>
  [dag_id, run_id, task_id].every(isName);

export function taskLink(from, props = {}) {
  if (!isTask(from)) return from.dag_id;
  return hostLink(taskPath(from), props, `${from.dag_id}.${from.task_id}`);
}

// The task that sent the message, and its run, as links to Airflow.
function source(from) {
  if (!isTask(from)) return from.dag_id;
  return [
    taskLink(from),
    isMapped(from) ? `[${from.map_index}]` : null,
    h("span", { class: "muted" }, " in "),
    hostLink(runPath(from), { class: "run" }, from.run_id),
  ];
}
