// Airflow's page around the frame. The sandbox forbids new windows and changing the top address, so links go through
// Airflow's router.
import { BASE } from "./address.js";
import { h } from "./dom.js";

export const framed = window.parent !== window;
const base = () => new URL(framed ? parent.document.baseURI : new URL("../..", import.meta.url));

function goHost(url) {
  if (!framed) {
    location.href = url;
    return;
  }
  parent.history.pushState({}, "", url);
  parent.dispatchEvent(new parent.PopStateEvent("popstate", { state: {} }));
}

// Whether the frame is a tab of a Dag, run or task, and not the page from the menu. That page's address is
// `…/plugin/pgmq` at first: Airflow appends the frame's path only after the frame has loaded.
export const isTab = () => framed && !/\/plugin\/pgmq(\/|$)/.test(parent.location.pathname);

const menu = () => new URL("plugin/pgmq", base()).pathname;

// The view in Airflow's address, if the frame shows another one: Airflow 3.1 always opens the frame at the view of
// the menu. After a click on a link of the page, the frame is right.
export function askedFor() {
  if (!framed || isTab() || location.search || document.referrer.startsWith(`${BASE}ui/`)) return null;
  const { pathname, search } = parent.location;
  const view = pathname.slice(menu().length) + search;
  return view.startsWith(`${BASE.pathname}ui/`) && view !== location.pathname ? view : null;
}

// Put the frame's view into Airflow's address, so that a reload and a bookmark restore it. Airflow 3.1 does not do
// it; newer versions do it when the frame has loaded, and then this changes nothing.
export function showAddress() {
  if (!framed || isTab()) return;
  const address = menu() + location.pathname + location.search;
  const { pathname, search } = parent.location;
  if (address !== pathname + search) parent.history.replaceState(parent.history.state, "", address);
}

// A value that Airflow put into the address of a tab. Airflow 3.1 does not encode it, so a `+` in a run's id becomes
// a blank; Airflow's own address has the right value.
export function fromHost(value) {
  const whole = value.replaceAll(" ", "+");
  return isTab() && decodeURIComponent(parent.location.pathname).split("/").includes(whole) ? whole : value;
}

// A link to a view of the page; in a tab it leaves the tab and opens the page from the menu.
export const viewLink = (address, props, ...children) =>
  isTab()
    ? hostLink(`plugin/pgmq${address}`, props, ...children)
    : h("a", { href: address, ...props }, ...children);

// A link to a page of Airflow.
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

// Go to the sign-in and back: in a frame, by reloading Airflow's page, which redirects. At most once in 15 s: a page
// that cannot sign in must not reload in a loop.
export function signedOut() {
  const last = Number(sessionStorage.getItem("pgmq-reloaded"));
  if (Date.now() - last < 15_000) return;
  sessionStorage.setItem("pgmq-reloaded", Date.now());
  if (framed) parent.location.reload();
  else location.assign(new URL(`api/v2/auth/login?next=${part(location.pathname + location.search)}`, base()));
}
