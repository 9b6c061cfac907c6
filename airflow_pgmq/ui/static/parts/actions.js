// What may be done to the messages of a queue; only for users who may, and each asked for first.
import { api, post } from "../api.js";
import { h } from "../dom.js";
import { full, plural } from "../format.js";
import { confirm } from "./confirm.js";
import { toast } from "./toast.js";

const SOME = {
  release: {
    label: "Release",
    done: "released",
    text: "Whoever reads next gets them at once, also if somebody works on them now.",
  },
  requeue: {
    label: "Requeue",
    done: "requeued",
    text: "They go back to the queue that they came from, as new messages with nothing read yet.",
  },
  delete: {
    label: "Delete",
    done: "deleted",
    text: "They are gone for good, and are not archived.",
    danger: true,
  },
};

// The API changes no more at once.
const AT_MOST = 1000;

export class Actions {
  constructor({ connectionId, reload }) {
    Object.assign(this, { connectionId, reload });
  }

  // Buttons for chosen messages of a queue.
  forChosen(queueName, verbs, chosen, where) {
    return verbs.map((verb) =>
      h(
        "button",
        {
          type: "button",
          class: SOME[verb].danger ? "danger" : null,
          disabled: !chosen.length,
          onclick: () => this.#some(queueName, verb, { msg_ids: chosen, ...where }),
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
            { limit },
            {
              title: `Requeue ${limit < number ? "the oldest " : ""}${plural(limit, "dead letter")}?`,
              text: SOME.requeue.text,
              action: "Requeue",
            },
            "requeued",
          ),
      },
      "Requeue all",
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
              title: `Purge ${queueName}?`,
              action: "Purge",
              danger: true,
              typed: queueName,
              text: "Every message in it is deleted, those in flight and delayed too. Nothing brings them back.",
            },
            "deleted",
          ),
      },
      "Purge…",
    );
  }

  #some(queueName, verb, body) {
    const { label, done, text, danger } = SOME[verb];
    const title = `${label} ${plural(body.msg_ids.length, "message")}?`;
    return this.#run(queueName, verb, body, { title, text, action: label, danger }, done);
  }

  async #run(queueName, verb, body, question, done) {
    let answer = null;
    const act = async () => {
      answer = await post(api(this.connectionId, "queues", queueName, verb), body);
    };
    if (await confirm({ ...question, act })) {
      const left = answer.left ? `; left: ${full(answer.left)}, whose queue is gone` : "";
      toast(`${plural(answer.changed, "message")} ${done}${left}`);
      this.reload();
    }
  }
}
