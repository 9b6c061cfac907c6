// A queue that is paused: who did it, when and why; and the buttons to pause and to resume it.
import { api, post } from "../api.js";
import { h } from "../dom.js";
import { exact } from "../format.js";
import { confirm } from "./confirm.js";
import { toast } from "./toast.js";

const MAX_REASON = 500;

// The same as the command line says.
export const said = ({ paused_by, paused_at, reason }) =>
  `Paused by ${paused_by} since ${exact(paused_at)}${reason ? `: ${reason}` : ""}`;

export const tag = (paused) => paused && h("span", { class: "tag paused", title: said(paused) }, "paused");

export class Pauses {
  constructor({ connectionId, reload }) {
    Object.assign(this, { connectionId, reload });
  }

  button({ queue_name, paused }) {
    return h(
      "button",
      { type: "button", onclick: () => (paused ? this.#resume(queue_name) : this.#pause(queue_name)) },
      paused ? "Resume queue" : "Pause queue…",
    );
  }

  #pause(name) {
    const reason = h("input", { type: "text", id: "reason", maxlength: MAX_REASON, autocomplete: "off" });
    return this.#run(name, "pause", "paused", () => ({ reason: reason.value.trim() }), {
      title: `Pause ${name}?`,
      text:
        "Consumers read no further message until it is resumed; what they hold is finished. Senders go on. " +
        "Everybody sees who paused it and why.",
      action: "Pause",
      more: [h("label", { for: "reason" }, "Reason"), reason],
    });
  }

  #resume(name) {
    return this.#run(name, "resume", "resumed", () => undefined, {
      title: `Resume ${name}?`,
      text: "Consumers read it again.",
      action: "Resume",
    });
  }

  async #run(name, verb, done, body, question) {
    const act = () => post(api(this.connectionId, "queues", name, verb), body());
    if (await confirm({ ...question, act })) {
      toast(`${name}: ${done}`);
      this.reload();
    }
  }
}
