// Asks before something is done. The frame's sandbox blocks confirm(), so it is a dialog of our own.
import { h } from "../dom.js";

// Resolves to true once it was done, to false when it was called off. `act` runs while the dialog stands,
// and what it throws is shown in it. `typed` is text that must be typed first; `extra` is more to fill in.
export function confirm({ title, text, action, act, danger = false, typed = null, extra = null }) {
  return new Promise((resolve) => {
    const problem = h("p", { class: "dialog-problem", role: "alert" });
    const go = h("button", { type: "button", class: danger ? "danger" : "primary" }, action);
    const input =
      typed && h("input", { type: "text", autocomplete: "off", spellcheck: "false", id: "typed" });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title" },
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, text),
      extra,
      input && h("label", { for: "typed" }, "Type ", h("code", {}, typed), " to confirm"),
      input,
      problem,
      h(
        "div",
        { class: "dialog-actions" },
        h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"),
        go,
      ),
    );
    let done = false;

    const allowed = () => !input || input.value === typed;
    const update = () => {
      go.disabled = !allowed();
    };
    const run = async () => {
      if (go.disabled) return;
      go.disabled = true;
      problem.textContent = "";
      try {
        await act();
        done = true;
        dialog.close();
      } catch (error) {
        problem.textContent = error.message;
        update();
      }
    };
    go.addEventListener("click", run);
    input?.addEventListener("input", update);
    input?.addEventListener("keydown", (event) => event.key === "Enter" && run());
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(done);
    });
    update();
    document.body.append(dialog);
    dialog.showModal();
  });
}
