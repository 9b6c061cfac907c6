// Actions on a periodic job, for users who may edit the connection. Each must be confirmed.
import { api, post } from "../api.js";
import { h } from "../dom.js";
import { exact } from "../format.js";
import { t } from "../language.js";
import { confirm } from "./confirm.js";
import { toast } from "./toast.js";

const ACTIONS = {
  pause: {
    label: t("Pause"),
    done: t("paused"),
    text: t("It sends nothing until it is resumed. Messages enqueued ahead of time are taken back."),
  },
  resume: {
    label: t("Resume"),
    done: t("resumed"),
    text: t("It sends again. For slots missed in the meantime, its catch-up policy applies."),
  },
  "run-now": {
    label: t("Run now"),
    done: t("sent"),
    text: t("One message is sent now, in addition to those of its schedule."),
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
      label: t("Skip"),
      done: t("slot skipped"),
      title: t("Skip one slot of {name}?", { name: job.name }),
      text: t(
        "Its slot at {time} is left out: no tick, catch-up or backfill sends it. If its message waits already, it is taken back.",
        { time: exact(slot) },
      ),
    };
    return h(
      "button",
      {
        type: "button",
        "aria-label": `${action.label}: ${exact(slot)}`,
        onclick: () => this.#act(job, "skip", action, { slot }),
      },
      action.label,
    );
  }

  async #act({ namespace, name }, verb, { label, done, text, title }, body) {
    const path = api(this.connectionId, "jobs", namespace, name, verb);
    const act = () => post(path, body);
    if (await confirm({ title: title ?? t("{action}: {name}?", { action: label, name }), text, action: label, act })) {
      toast(name, done);
      this.reload();
    }
  }
}
