// Shows for a few seconds what was done, and tells screen readers.
import { h } from "../dom.js";

const region = h("div", { class: "toasts", role: "status" });
document.body.append(region);

export function toast(text) {
  const note = h("div", { class: "toast" }, text);
  region.append(note);
  setTimeout(() => note.remove(), 6000);
}
