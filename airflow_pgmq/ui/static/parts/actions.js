// Actions on the messages of a queue, for users who may edit the connection. Each must be confirmed.
import { api, post } from "../api.js";
import { h } from "../dom.js";
import { full, plural } from "../format.js";
import { confirm } from "./confirm.js";
import { toast } from "./toast.js";

// `text`: for one message, and for several.
const SOME = {
  release: {
    label: "Release",
    done: "released",
    text: [
      "The next reader can read it at once, even if a consumer is working on it now.",
      "The next readers can read them at once, even if consumers are working on them now.",
    ],
  },
  requeue: {
    label: "Requeue",
    done: "requeued",
    text: [
      "It goes back to the queue that it came from, as a new, unread message.",
      "They go back to the queue that they came from, as new, unread messages.",
    ],
  },
  delete: {
    label: "Delete",
    done: "deleted",
    text: ["It is deleted, not archived. This cannot be undone.", "They are deleted, not archived. This cannot be undone."],
    danger: true,
  },
};

const textFor = (verb, number) => SOME[verb].text[number === 1 ? 0 : 1];

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
              text:
                "All its messages are deleted, also delayed ones and those in flight, but not slots of periodic " +
                "jobs that wait for their time. This cannot be undone.",
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
        ? `; ${full(answer.left)} not requeued: ${answer.left === 1 ? "its queue does" : "their queues do"} not exist`
        : "";
      toast(`${plural(answer.changed, "message")} ${done}${left}`);
      this.reload();
    }
  }
}
