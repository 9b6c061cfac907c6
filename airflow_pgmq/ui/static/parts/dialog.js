// A modal dialog. The frame's sandbox blocks confirm(), so dialogs are our own.
import { focusable } from "../dom.js";

// Shows it; `isBusy` says whether it must stay open now. `onClosed` is called once it is closed.
export function open(dialog, isBusy, onClosed) {
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
  dialog.addEventListener("cancel", (event) => isBusy() && event.preventDefault());
  // A second Escape closes the dialog even while it is busy.
  dialog.addEventListener("close", () => {
    dialog.remove();
    onClosed();
  });
  document.body.append(dialog);
  dialog.showModal();
}
