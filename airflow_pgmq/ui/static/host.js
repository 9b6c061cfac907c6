// Airflow around the frame. The frame's sandbox forbids new windows and the top's address, so we ask its router.
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

// Whether we are a tab beside Airflow's own, and not its page of ours. From the menu that is `…/plugin/pgmq`
// at first: Airflow puts the frame's path behind it only once the frame has loaded.
export const isTab = () => framed && !/\/plugin\/pgmq(\/|$)/.test(parent.location.pathname);

const menu = () => new URL("plugin/pgmq", base()).pathname;

// The view that Airflow's address names, where the frame was opened at another: Airflow 3.1 opens it where the menu
// leads, whatever follows in the address. Who came by a link of ours is where that led.
export function askedFor() {
  if (!framed || isTab() || location.search || document.referrer.startsWith(`${BASE}ui/`)) return null;
  const { pathname, search } = parent.location;
  const view = pathname.slice(menu().length) + search;
  return view.startsWith(`${BASE.pathname}ui/`) && view !== location.pathname ? view : null;
}

// Airflow's address names the view in the frame, so that a reload and a bookmark find it again. Airflow 3.1 leaves
// that to us; others do it when the frame has loaded, and it is done then.
export function showAddress() {
  if (!framed || isTab()) return;
  const address = menu() + location.pathname + location.search;
  const { pathname, search } = parent.location;
  if (address !== pathname + search) parent.history.replaceState(parent.history.state, "", address);
}

// What Airflow put into the address of a tab. Airflow 3.1 does not encode it, so the `+` of a run's id came as a
// blank; Airflow's own address has it right.
export function fromHost(value) {
  const whole = value.replaceAll(" ", "+");
  return isTab() && decodeURIComponent(parent.location.pathname).split("/").includes(whole) ? whole : value;
}

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

// To the sign-in and back: around the frame Airflow's own page leads there. Once: a page that can't sign in must
// not reload for ever.
export function signedOut() {
  const last = Number(sessionStorage.getItem("pgmq-reloaded"));
  if (Date.now() - last < 15_000) return;
  sessionStorage.setItem("pgmq-reloaded", Date.now());
  if (framed) parent.location.reload();
  else location.assign(new URL(`api/v2/auth/login?next=${part(location.pathname + location.search)}`, base()));
}
