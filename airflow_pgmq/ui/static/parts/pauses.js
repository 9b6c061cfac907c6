// A queue that is paused: who did it, when and why; and the buttons to pause and to resume it.
import { api, post } from "../api.js";
import { asText, h } from "../dom.js";
import { exact } from "../format.js";
import { t } from "../language.js";
import { confirm } from "./confirm.js";
import { toast } from "./toast.js";

const MAX_REASON = 500;

// The same as the command line says.
export function said({ paused_by, paused_at, reason }) {
  const text = t("Paused by {user} since {time}", { user: asText(paused_by), time: exact(paused_at) });
  return reason ? `${text}: ${reason}` : text;
}

export const tag = (paused) => paused && h("span", { class: "tag paused", title: said(paused) }, t("paused"));

export class Pauses {
  constructor({ connectionId, reload }) {
    Object.assign(this, { connectionId, reload });
  }

  button({ queue_name, paused }) {
    return h(
      "button",
      { type: "button", onclick: () => (paused ? this.#resume(queue_name) : this.#pause(queue_name)) },
      paused ? t("Resume queue") : t("Pause queue…"),
    );
  }

  #pause(name) {
    const reason = h("input", { type: "text", id: "reason", maxlength: MAX_REASON, autocomplete: "off" });
    return this.#run(name, "pause", t("paused"), () => ({ reason: reason.value.trim() }), {
      title: t("Pause {name}?", { name }),
      text: t(
        "Consumers read no further message until it is resumed; what they hold is finished. Senders go on. Everybody sees who paused it and why.",
      ),
      action: t("Pause"),
      more: [h("label", { for: "reason" }, t("Reason")), reason],
    });
  }

  #resume(name) {
    return this.#run(name, "resume", t("resumed"), () => undefined, {
      title: t("Resume {name}?", { name }),
      text: t("Consumers read it again."),
      action: t("Resume"),
    });
  }

  async #run(name, verb, done, body, question) {
    const act = () => post(api(this.connectionId, "queues", name, verb), body());
    if (await confirm({ ...question, act })) {
      toast(name, done);
      this.reload();
    }
  }
}
