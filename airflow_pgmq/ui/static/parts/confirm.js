// Asks for confirmation of an action. The frame's sandbox blocks confirm(), so this is our own dialog.
import { coded, focusable, h, replace } from "../dom.js";

// Resolves to true when `act` has succeeded, to false when the user cancelled, which is not possible while `act`
// runs. Errors of `act` are shown in the dialog. `typed` is a text that the user must type first.
export function confirm({ title, text, action, act, danger = false, typed = null }) {
  return new Promise((resolve) => {
    const problem = h("p", { class: "dialog-problem", role: "alert" });
    const go = h("button", { type: "button", class: danger ? "danger" : "primary" }, action);
    const off = h("button", { type: "button", onclick: () => dialog.close() }, "Cancel");
    const input =
      typed && h("input", { type: "text", autocomplete: "off", spellcheck: "false", id: "typed" });
    const dialog = h(
      "dialog",
      { "aria-labelledby": "dialog-title" },
      h("h2", { id: "dialog-title" }, title),
      h("p", {}, text),
      input && h("label", { for: "typed" }, "Type ", h("code", {}, typed), " to confirm"),
      input,
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
    // A modal dialog keeps the focus from the rest of the frame, but not from Airflow's page around it.
    dialog.addEventListener("keydown", (event) => {
      if (event.key !== "Tab") return;
      const inside = focusable(dialog).filter((each) => !each.disabled);
      const last = inside.at(event.shiftKey ? 0 : -1);
      if (!inside.length || document.activeElement === last || document.activeElement === dialog) {
        event.preventDefault();
        inside.at(event.shiftKey ? -1 : 0)?.focus();
      }
    });
    dialog.addEventListener("cancel", (event) => off.disabled && event.preventDefault());
    // A second Escape closes the dialog even while `act` runs.
    dialog.addEventListener("close", async () => {
      dialog.remove();
      await running;
      resolve(done);
    });
    update();
    document.body.append(dialog);
    dialog.showModal();
  });
}
