// The box above a list; what is in it is part of the address.
import { param, setParams } from "../address.js";
import { h } from "../dom.js";

// `label` says what is searched for; `onChange` is called after each change.
export function searchBox(label, onChange) {
  const box = h("input", {
    type: "search",
    placeholder: label,
    "aria-label": label,
    value: param("q"),
    oninput: () => {
      setParams({ q: box.value });
      onChange();
    },
  });
  return box;
}

export const sought = (box) => box.value.trim().toLowerCase();
