// Asks for confirmation of an action.
import { coded, h, replace } from "../dom.js";
import { rich, t } from "../language.js";
import { open } from "./dialog.js";

// Resolves to true when `act` has succeeded, to false when the user cancelled, which is not possible while `act`
// runs. Errors of `act` are shown in the dialog. `typed` is a text that the user must type first, `more` what else is
// in the dialog.
export function confirm({ title, text, action, act, danger = false, typed = null, more = null }) {
  return new Promise((resolve) => {
    const problem = h("p", { class: "dialog-problem", role: "alert" });
    const go = h("button", { type: "button", class: danger ? "danger" : "primary" }, action);
    const off = h("button", { type: "button", onclick: () => dialog.close() }, t("Cancel"));
    const input =
      typed && h("input", { type: "text", autocomplete: "off", spellcheck: "false", id: "typed" });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title" },
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, text),
      input && h("label", { for: "typed" }, rich("Type {text} to confirm", { text: h("code", {}, typed) })),
      input,
      more,
      problem,
      h(
        "div",
        { class: "dialog-actions" },
        off,
        go,
      ),
    );
    let done = false;
    let running = null;

    const allowed = () => !input || input.value === typed;
    const update = () => {
      go.disabled = off.disabled || !allowed();
    };
    const run = () => {
      if (!go.disabled) running = attempt();
    };
    const attempt = async () => {
      off.disabled = true;
      update();
      problem.textContent = "";
      try {
        await act();
        done = true;
        dialog.close();
      } catch (error) {
        replace(problem, coded(error.message));
        off.disabled = false;
        update();
      }
    };
    go.addEventListener("click", run);
    input?.addEventListener("input", update);
    input?.addEventListener("keydown", (event) => event.key === "Enter" && run());
    update();
    open(dialog, () => off.disabled, async () => {
      await running;
      resolve(done);
    });
  });
}
