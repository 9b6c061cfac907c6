// A table that keeps its rows: a refresh changes only cells that differ, so that focus and selection stay.
import { append, h, icon, replace } from "../dom.js";
import { t } from "../language.js";

// A column: {id, label, cell(row), by(row) to sort, changes(row), numeric, hidden label, wide}.
export class Table {
  constructor({ caption, columns, key, sort, descending = false, onSort, rowClass }) {
    Object.assign(this, { columns, key, sort, descending, onSort, rowClass });
    this.rows = new Map();
    this.heads = columns.map((column) => this.#head(column));
    this.body = h("tbody", { role: "rowgroup" });
    this.element = h(
      "table",
      { role: "table", class: "data" },
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", { role: "rowgroup" }, h("tr", { role: "row", "data-label": t("Sort by") }, this.heads)),
      this.body,
    );
    this.#markSorted();
  }

  show(items) {
    this.items = items;
    const wanted = this.#sorted(items);
    const seen = new Set();
    let previous = null;
    for (const item of wanted) {
      const key = String(this.key(item));
      seen.add(key);
      const row = this.rows.get(key) ?? this.#row(key);
      this.#fill(row, item);
      const place = previous ? previous.nextSibling : this.body.firstChild;
      if (row.node !== place) this.body.insertBefore(row.node, place);
      previous = row.detail?.isConnected ? this.#follow(row) : row.node;
    }
    for (const [key, row] of this.rows) {
      if (seen.has(key)) continue;
      row.node.remove();
      row.detail?.remove();
      this.rows.delete(key);
    }
  }

  // Show content in a row below the row, over the full width; null removes it.
  detail(key, content) {
    const row = this.rows.get(String(key));
    row?.detail?.remove();
    if (!row) return;
    row.detail =
      content &&
      h(
        "tr",
        { role: "row", class: "detail-row" },
        h("td", { role: "cell", colspan: this.columns.length }, content),
      );
    row.node.classList.toggle("open", Boolean(content));
    if (content) this.#follow(row);
  }

  #follow(row) {
    row.node.after(row.detail);
    return row.detail;
  }

  #row(key) {
    const cells = this.columns.map((column) =>
      h("td", {
        role: "cell",
        "data-label": column.label,
        class: [`col-${column.id}`, column.numeric && "numeric"].filter(Boolean).join(" "),
      }),
    );
    const row = { node: h("tr", { role: "row" }, cells), cells, states: [] };
    this.rows.set(key, row);
    return row;
  }

  #fill(row, item) {
    if (this.rowClass)
      row.node.className = [this.rowClass(item), row.detail && "open"].filter(Boolean).join(" ");
    this.columns.forEach((column, index) => {
      const state = JSON.stringify(column.changes ? column.changes(item) : item);
      if (row.states[index] === state) return;
      row.states[index] = state;
      replace(row.cells[index], column.cell(item));
    });
  }

  #head(column) {
    const props = {
      role: "columnheader",
      scope: "col",
      class: [`col-${column.id}`, column.numeric && "numeric"].filter(Boolean).join(" "),
    };
    if (!column.by)
      return h(
        "th",
        props,
        column.hidden ? h("span", { class: "visually-hidden" }, column.label) : column.label,
      );
    const turn = () => this.#sortBy(column);
    return h("th", props, h("button", { type: "button", onclick: turn }, column.label, icon("next")));
  }

  #sortBy(column) {
    this.descending = this.sort === column.id ? !this.descending : Boolean(column.numeric);
    this.sort = column.id;
    this.#markSorted();
    this.show(this.items ?? []);
    this.onSort?.(this.sort, this.descending);
  }

  #markSorted() {
    this.columns.forEach((column, index) => {
      const sorted = column.id === this.sort ? (this.descending ? "descending" : "ascending") : null;
      if (sorted) this.heads[index].setAttribute("aria-sort", sorted);
      else this.heads[index].removeAttribute("aria-sort");
    });
  }

  #sorted(items) {
    const column = this.columns.find((each) => each.id === this.sort);
    if (!column?.by) return items;
    const way = this.descending ? -1 : 1;
    return [...items].sort(
      (a, b) => way * compare(column.by(a), column.by(b)) || compare(this.key(a), this.key(b)),
    );
  }
}

// Unknown values sort as the smallest.
function compare(a, b) {
  if (a === null || a === undefined) return b === null || b === undefined ? 0 : -1;
  if (b === null || b === undefined) return 1;
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}

// Wide tables scroll in their own box, which can have the keyboard's focus.
export const scrolling = (table, label) =>
  append(h("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }), [table.element]);
