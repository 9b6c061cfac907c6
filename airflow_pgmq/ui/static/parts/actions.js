// Actions on the messages of a queue, for users who may edit the connection. Each must be confirmed.
import { api, post } from "../api.js";
import { h } from "../dom.js";
import { t } from "../language.js";
import { confirm } from "./confirm.js";
import { toast } from "./toast.js";

const deleted = (count) => t("{count} messages deleted", { count });

const SOME = {
  release: {
    label: t("Release"),
    title: (count) => t("Release {count} messages?", { count }),
    text: (count) =>
      t("The next readers can read them at once, even if consumers are working on them now.", { count }),
    done: (count) => t("{count} messages released", { count }),
  },
  requeue: {
    label: t("Requeue"),
    title: (count) => t("Requeue {count} messages?", { count }),
    text: (count) => t("They go back to the queue that they came from, as new, unread messages.", { count }),
    done: (count) => t("{count} messages requeued", { count }),
  },
  delete: {
    label: t("Delete"),
    title: (count) => t("Delete {count} messages?", { count }),
    text: (count) => t("They are deleted, not archived. This cannot be undone.", { count }),
    done: deleted,
    danger: true,
  },
};

// The API changes at most this many at once.
const AT_MOST = 1000;

export class Actions {
  constructor({ connectionId, reload }) {
    Object.assign(this, { connectionId, reload });
  }

  // Buttons for chosen messages of a queue.
  forChosen(queueName, verbs, chosen, source) {
    return verbs.map((verb) =>
      h(
        "button",
        {
          type: "button",
          class: SOME[verb].danger ? "danger" : null,
          disabled: !chosen.length,
          onclick: () => this.#some(queueName, verb, { msg_ids: chosen, ...source }),
        },
        SOME[verb].label,
      ),
    );
  }

  requeueAll(queueName, number) {
    const limit = Math.min(number, AT_MOST);
    return h(
      "button",
      {
        type: "button",
        onclick: () =>
          this.#run(
            queueName,
            "requeue",
            { max_messages: limit },
            {
              title:
                limit < number
                  ? t("Requeue the oldest {count} dead letters?", { count: limit })
                  : t("Requeue {count} dead letters?", { count: limit }),
              text: SOME.requeue.text(limit),
              action: SOME.requeue.label,
            },
            SOME.requeue.done,
          ),
      },
      t("Requeue all"),
    );
  }

  purge(queueName) {
    return h(
      "button",
      {
        type: "button",
        class: "danger",
        onclick: () =>
          this.#run(
            queueName,
            "purge",
            { confirm: queueName },
            {
              title: t("Purge {name}?", { name: queueName }),
              action: t("Purge"),
              danger: true,
              typed: queueName,
              text: t(
                "All its messages are deleted, also delayed ones and those in flight, but not slots of periodic jobs that wait for their time. This cannot be undone.",
              ),
            },
            deleted,
          ),
      },
      t("Purge…"),
    );
  }

  #some(queueName, verb, body) {
    const { label, title, text, done, danger } = SOME[verb];
    const number = body.msg_ids.length;
    const question = { title: title(number), text: text(number), action: label, danger };
    return this.#run(queueName, verb, body, question, done);
  }

  async #run(queueName, verb, body, question, done) {
    let answer = null;
    const act = async () => {
      answer = await post(api(this.connectionId, "queues", queueName, verb), body);
    };
    if (await confirm({ ...question, act })) {
      const left = answer.left
        ? t("{count} not requeued: their queues do not exist", { count: answer.left })
        : null;
      toast(null, done(answer.changed), left);
      this.reload();
    }
  }
}
