// The page's address. A view keeps its state in the query, so that a reload, a bookmark and Back restore it.
export const BASE = new URL("..", import.meta.url);

const query = () => new URLSearchParams(location.search);

export const param = (name, fallback = "") => query().get(name) ?? fallback;

export function setParams(changes) {
  const next = query();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === undefined || value === "") next.delete(name);
    else next.set(name, value);
  }
  const text = next.toString();
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

// A link to a view, with the current connection.
export function to(view, params = {}) {
  const url = new URL(`ui/${view}`, BASE);
  const connection = param("connection_id");
  if (connection) url.searchParams.set("connection_id", connection);
  for (const [name, value] of Object.entries(params)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url.pathname + url.search;
}

// "." and ".." are not names: browsers resolve them in a path.
export const isName = (value) => typeof value === "string" && value !== "" && !/^\.{1,2}$/.test(value);

export const toQueue = (name, params) => to(`queue/${encodeURIComponent(name)}`, params);

export const toJob = (namespace, name) =>
  to(`job/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`);

// This page with some parameters changed.
export function here(changes) {
  const next = query();
  for (const [name, value] of Object.entries(changes)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  return `${location.pathname}?${next}`;
}
