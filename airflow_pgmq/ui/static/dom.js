// Create elements. Text children become text nodes: nothing from a message is ever parsed as HTML.
const SVG = "http://www.w3.org/2000/svg";

export function h(tag, props = {}, ...children) {
  return fill(document.createElement(tag), props, children);
}

export function s(tag, props = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), props, children);
}

function fill(node, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled") node[name] = value;
    else node.setAttribute(name, value === true ? "" : asText(value));
  }
  append(node, children);
  return node;
}

// Headers may contain any JSON, and String() fails for an object made by JSON.rawJSON.
export const asText = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));

export function append(node, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : asText(child));
  }
  return node;
}

// Replace the children. The keyboard's focus moves to the element at the same place, for example a new button for
// an old one; if there is none, to an enclosing element.
export function replace(node, ...children) {
  const place = focusable(node).indexOf(document.activeElement);
  node.replaceChildren();
  append(node, children);
  if (place >= 0) {
    focusable(node)[place]?.focus({ preventScroll: true });
    if (!node.contains(document.activeElement)) node.closest("[tabindex]")?.focus({ preventScroll: true });
  }
  return node;
}

// A text of ours with each part in backticks as <code>; `plain` only leaves the backticks out, for attributes.
const CODE = /`([^`]+)`/;

export const coded = (text) => asText(text).split(CODE).map((part, index) => (index % 2 ? h("code", {}, part) : part));

export const plain = (text) => asText(text).split(CODE).join("");

export const focusable = (node) => [
  ...node.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]"),
];

// Replace the children only if the state has changed, so that the keyboard's focus stays.
export function renew(node, state, make) {
  const text = JSON.stringify(state);
  if (node.dataset.state === text) return;
  node.dataset.state = text;
  replace(node, make());
}

export const icon = (name) =>
  s(
    "svg",
    { class: `icon icon-${name}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    s("path", { d: PATHS[name] }),
  );

const PATHS = {
  error: "M5.2 1.5h5.6l3.7 3.7v5.6l-3.7 3.7H5.2l-3.7-3.7V5.2zM8 4.5v4M8 11v.5",
  warning: "M8 1.8 14.8 14H1.2zM8 6v4M8 11.8v.4",
  refresh: "M13.5 8A5.5 5.5 0 1 1 11.6 3.8M13.5 1.5v3.3h-3.3",
  pause: "M5 3v10M11 3v10",
  play: "M4.5 2.5 13 8l-8.5 5.5z",
  next: "M6 3l5 5-5 5",
  search: "M7 2.5a4.5 4.5 0 1 1 0 9 4.5 4.5 0 0 1 0-9zM10.4 10.4 14 14",
  lock: "M4 7h8v6.5H4zM5.5 7V5a2.5 2.5 0 0 1 5 0v2",
};
