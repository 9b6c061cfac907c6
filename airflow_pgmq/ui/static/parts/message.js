// The details of a message. Its content is shown as text, to users who may see it.
import { isName, toQueue } from "../address.js";
import { asText, h, icon } from "../dom.js";
import { ago, exact, full, instant } from "../format.js";
import { hostLink, isMapped, runPath, taskPath } from "../host.js";
import { rich, t } from "../language.js";
import { json } from "./json.js";

const REASON = t("Reason");

export function messageDetail(message, alone) {
  const facts = [
    [t("Enqueued"), moment(message.enqueued_at)],
    [
      message.state === "visible" ? t("Visible since") : t("Visible"),
      message.archived_at ? null : moment(message.vt),
    ],
    [t("Archived"), moment(message.archived_at)],
    [t("Expires"), moment(message.expires_at)],
    [message.dead_letter ? t("Reads since") : t("Reads"), full(message.read_ct)],
    [t("Dedup key"), message.dedup_key && h("code", {}, message.dedup_key)],
    [t("Job"), message.job && [message.namespace && `${message.namespace} / `, message.job]],
    [t("Slot"), moment(message.slot)],
    [t("FIFO group"), message.group],
    [t("Sent by"), message.source && source(message.source)],
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
        .map(([term, value]) => h("div", { class: term === REASON ? "wide" : null }, h("dt", {}, term), h("dd", {}, value))),
    ),
    "message" in message
      ? content(message, alone)
      : h(
          "p",
          { class: "locked" },
          icon("lock"),
          t("Only users who may read the connection in Airflow see the content."),
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
      h("h3", {}, t("Message"), redacted && h("span", { class: "tag" }, t("values hidden"))),
      too_large
        ? h(
            "p",
            { class: "muted" },
            rich("Too large to show in a list: {link}.", { link: alone(found, t("open this message alone")) }),
          )
        : json(message, t("Message")),
    ),
    h("section", {}, h("h3", {}, t("Headers")), json(headers ?? {}, t("Headers"))),
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
    [REASON, reason],
    [t("Failed in"), queue && failedIn(queue, msg_id)],
    [t("Failed after"), died(tries, read_ct)],
    [t("First enqueued"), moment(enqueued_at)],
  ];
}

const failedIn = (queue, id) =>
  id ? rich("{queue}, message {id}", { queue: queueLink(queue), id: asText(id) }) : queueLink(queue);

// Reads include those of consumers that gave the message back untried.
function died(tries, reads) {
  if (tries === null || tries === undefined) return null;
  const times = t("{count} tries", { count: tries });
  if (tries === reads || typeof reads !== "number") return times;
  return t("{tries}, in {count} reads", { tries: times, count: reads });
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
  return rich("{task} in {run}", {
    task: [taskLink(from), isMapped(from) ? `[${from.map_index}]` : null],
    run: hostLink(runPath(from), { class: "run" }, from.run_id),
  });
}
