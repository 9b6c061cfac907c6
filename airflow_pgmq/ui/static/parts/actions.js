// What may be done to the messages of a queue; only for users who may, and each asked for first.
import { api, post } from "../api.js";
import { h } from "../dom.js";
import { full, plural } from "../format.js";
import { confirm } from "./confirm.js";
import { toast } from "./toast.js";

// `text` is for one message and for several.
const SOME = {
  release: {
    label: "Release",
    done: "released",
    text: [
      "Whoever reads next gets it at once, even if somebody is working on it now.",
      "Whoever reads next gets them at once, even if somebody is working on them now.",
    ],
  },
  requeue: {
    label: "Requeue",
    done: "requeued",
    text: [
      "It goes back to the queue that it came from, as a new message that nobody has read.",
      "They go back to the queue that they came from, as new messages that nobody has read.",
    ],
  },
  delete: {
    label: "Delete",
    done: "deleted",
    text: ["It is deleted for good, and not archived.", "They are deleted for good, and not archived."],
    danger: true,
  },
};

const textFor = (verb, number) => SOME[verb].text[number === 1 ? 0 : 1];

// The API changes no more at once.
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
              title: `Requeue ${limit < number ? "the oldest " : ""}${plural(limit, "dead letter")}?`,
              text: textFor("requeue", limit),
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
    const { label, done, danger } = SOME[verb];
    const number = body.msg_ids.length;
    const title = `${label} ${plural(number, "message")}?`;
    return this.#run(queueName, verb, body, { title, text: textFor(verb, number), action: label, danger }, done);
  }

  async #run(queueName, verb, body, question, done) {
    let answer = null;
    const act = async () => {
      answer = await post(api(this.connectionId, "queues", queueName, verb), body);
    };
    if (await confirm({ ...question, act })) {
      const left = answer.left
        ? `; left: ${full(answer.left)}, whose ${answer.left === 1 ? "queue is" : "queues are"} gone`
        : "";
      toast(`${plural(answer.changed, "message")} ${done}${left}`);
      this.reload();
    }
  }
}
