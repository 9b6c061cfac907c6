// Tabs that are links: each has an address and can be opened in a new browser tab.
import { here } from "../address.js";
import { h } from "../dom.js";
import { count } from "../format.js";

export function tabs(label, items, active) {
  return h(
    "nav",
    { class: "tabs", "aria-label": label },
    items.map(({ id, text, number, estimated }) =>
      h(
        "a",
        {
          href: here({ tab: id, q: null, by: null, msg_id: null }),
          "aria-current": id === active ? "page" : null,
        },
        text,
        number === undefined
          ? null
          : h("span", { class: "number" }, number === null ? "?" : count(number, estimated)),
      ),
    ),
  );
}

export function choices(label, name, items, active) {
  return h(
    "nav",
    { class: "choices", "aria-label": label },
    items.map(([id, text]) =>
      h("a", { href: here({ [name]: id }), "aria-current": id === active ? "true" : null }, text),
    ),
  );
}
