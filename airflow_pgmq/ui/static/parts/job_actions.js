// Actions on a periodic job, for users who may edit the connection. Each must be confirmed.
import { api, post } from "../api.js";
import { h } from "../dom.js";
import { exact } from "../format.js";
import { confirm } from "./confirm.js";
import { toast } from "./toast.js";

const ACTIONS = {
  pause: {
    label: "Pause",
    done: "paused",
    text: "It sends nothing until it is resumed. Messages enqueued ahead of time are taken back.",
  },
  resume: {
    label: "Resume",
    done: "resumed",
    text: "It sends again. For slots missed in the meantime, its catch-up policy applies.",
  },
  "run-now": {
    label: "Run now",
    done: "sent",
    text: "One message is sent now, in addition to those of its schedule.",
  },
};

export class JobActions {
  constructor({ connectionId, reload }) {
    Object.assign(this, { connectionId, reload });
  }

  buttons(job) {
    return [job.paused ? "resume" : "pause", "run-now"].map((verb) =>
      h(
        "button",
        {
          type: "button",
          onclick: () => this.#act(job, verb, ACTIONS[verb]),
          "aria-label": `${ACTIONS[verb].label}: ${job.name}`,
        },
        ACTIONS[verb].label,
      ),
    );
  }

  // A button that leaves out one slot.
  skip(job, slot) {
    const action = {
      label: "Skip",
      done: "slot skipped",
      title: `Skip one slot of ${job.name}?`,
      text: `Its slot at ${exact(slot)} is left out: no tick, catch-up or backfill sends it. If its message waits already, it is taken back.`,
    };
    return h(
      "button",
      {
        type: "button",
        "aria-label": `Skip: ${exact(slot)}`,
        onclick: () => this.#act(job, "skip", action, { slot }),
      },
      "Skip",
    );
  }

  async #act({ namespace, name }, verb, { label, done, text, title }, body) {
    const path = api(this.connectionId, "jobs", namespace, name, verb);
    const act = () => post(path, body);
    if (await confirm({ title: title ?? `${label}: ${name}?`, text, action: label, act })) {
      toast(`${name}: ${done}`);
      this.reload();
    }
  }
}
