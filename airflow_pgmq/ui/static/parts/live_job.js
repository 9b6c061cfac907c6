// What people who may edit the connection do with a live job: edit it, delete it, restore a version.
import { api, post } from "../api.js";
import { h } from "../dom.js";
import { t } from "../language.js";
import { confirm } from "./confirm.js";
import { jobForm, words } from "./job_form.js";
import { toast } from "./toast.js";

export class LiveJob {
  constructor({ connectionId, namespace, name, reload }) {
    Object.assign(this, { connectionId, namespace, name, reload });
  }

  buttons({ job, definition }) {
    return [
      definition && h("button", { type: "button", onclick: () => this.#edit(job, definition) }, t("Edit…")),
      h("button", { type: "button", class: "danger", onclick: () => this.#delete(job) }, t("Delete…")),
    ];
  }

  // A button that puts a version again; `found` is what is there now.
  restore({ job }, { version }) {
    const act = () => this.#post("restore", { version, expected_version: job?.version ?? 0 });
    const question = {
      title: t("Restore version {version} of {name}?", { version: String(version), name: this.name }),
      text: t(
        "Its definition is put again, as a new version. It begins now; what was enqueued ahead of time is taken back.",
      ),
      action: t("Restore"),
    };
    return h(
      "button",
      {
        type: "button",
        "aria-label": t("Restore version {version}", { version: String(version) }),
        onclick: () => this.#ask(question, act, () => [t("version {version} restored", { version: String(version) })]),
      },
      question.action,
    );
  }

  async #edit({ version }, definition) {
    const lists = await words(this.connectionId, []);
    const job = { namespace: this.namespace, version, definition };
    const done = await jobForm({ connectionId: this.connectionId, job, lists });
    if (!done) return;
    toast(
      this.name,
      done.version === version
        ? t("nothing has changed")
        : t("now version {version}", { version: String(done.version) }),
    );
    this.reload();
  }

  #delete({ version }) {
    let taken = 0;
    const act = async () => {
      taken = (await this.#post("delete", { expected_version: version })).taken_back;
    };
    const question = {
      title: t("Delete {name}?", { name: this.name }),
      text: t(
        "It sends nothing any more, and messages enqueued ahead of time are taken back. Its versions stay, so it can be restored.",
      ),
      action: t("Delete"),
      danger: true,
    };
    return this.#ask(question, act, () => [t("deleted"), t("{count} messages taken back", { count: taken })]);
  }

  async #ask(question, act, done) {
    if (await confirm({ ...question, act })) {
      toast(this.name, ...done());
      this.reload();
    }
  }

  #post(verb, body) {
    return post(api(this.connectionId, "jobs", this.namespace, this.name, verb), body);
  }
}
