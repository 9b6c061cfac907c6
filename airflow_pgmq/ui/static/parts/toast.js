// Shows for a few seconds what was done, and tells screen readers.
import { h } from "../dom.js";

const region = h("div", { class: "toasts", role: "status" });
document.body.append(region);

// `name` is what it was done to; `done` are texts, or null.
export function toast(name, ...done) {
  const text = done.filter(Boolean).join("; ");
  const note = h("div", { class: "toast" }, name ? `${name}: ${text}` : text);
  region.append(note);
  setTimeout(() => note.remove(), 6000);
}
