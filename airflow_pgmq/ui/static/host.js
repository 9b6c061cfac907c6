// Airflow around the frame. The frame's sandbox forbids new windows and the top's address, so we ask its router.
import { h } from "./dom.js";

const framed = window.parent !== window;
const base = () => new URL(framed ? parent.document.baseURI : new URL("../..", import.meta.url));

function goHost(url) {
  if (!framed) {
    location.href = url;
    return;
  }
  parent.history.pushState({}, "", url);
  parent.dispatchEvent(new parent.PopStateEvent("popstate", { state: {} }));
}

// Whether we are a tab beside Airflow's own, and not its page of ours. From the menu that is `…/plugin/pgmq`
// at first: Airflow puts the frame's path behind it only once the frame has loaded.
export const isTab = () => framed && !/\/plugin\/pgmq(\/|$)/.test(parent.location.pathname);

// A link to a view of ours in a page of its own; from a tab, that leaves the tab.
export const viewLink = (address, props, ...children) =>
  isTab()
    ? hostLink(`plugin/pgmq${address}`, props, ...children)
    : h("a", { href: address, ...props }, ...children);

// A link to a page of Airflow's own.
export function hostLink(path, props, ...children) {
  const url = new URL(path, base()).href;
  const follow = (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    goHost(url);
  };
  return h("a", { href: url, onclick: follow, ...props }, ...children);
}

const part = encodeURIComponent;

export const dagPath = (dag) => `dags/${part(dag)}`;

export const isMapped = ({ map_index }) => Number.isSafeInteger(map_index) && map_index >= 0;

export function taskPath(instance) {
  const { dag_id, run_id, task_id, map_index } = instance;
  const task = `dags/${part(dag_id)}/runs/${part(run_id)}/tasks/${part(task_id)}`;
  return isMapped(instance) ? `${task}/mapped/${map_index}` : task;
}

export const runPath = ({ dag_id, run_id }) => `dags/${part(dag_id)}/runs/${part(run_id)}`;

// Airflow's page leads to the sign-in and back. Once: a page that can't sign in must not reload for ever.
export function signedOut() {
  const last = Number(sessionStorage.getItem("pgmq-reloaded"));
  if (Date.now() - last < 15_000) return;
  sessionStorage.setItem("pgmq-reloaded", Date.now());
  parent.location.reload();
}
