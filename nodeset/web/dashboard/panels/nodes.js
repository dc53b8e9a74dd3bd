// Every node with its health: a table that sorts, filters, opens what else is known of one.

import { el, empty, keyed, mark, say } from "../dom.js";
import { age, count, many, moment, rate, size, span } from "../format.js";

const STATES = { up: "Up", slow: "Slow", suspect: "Suspect", away: "Away" };
const MOST_ROWS = 250; // A longer table is no longer read, only searched: the filter finds the rest.
const COLUMNS = [
  { key: "name", name: "Node", kind: "text", read: (node) => node.name },
  { key: "state", name: "Health", kind: "text", read: (node) => ["suspect", "slow", "away", "up"].indexOf(stateOf(node)) },
  { key: "latency", name: "Latency", read: (node) => node.latency, show: span },
  { key: "published", name: "Published", unit: "/s", read: (node) => node.published, show: rate },
  { key: "delivered", name: "Delivered", unit: "/s", read: (node) => node.delivered, show: rate },
  { key: "queued", name: "Queued", read: (node) => node.queued_events, show: count, wide: true },
  { key: "unanswered", name: "Unanswered", read: (node) => node.unanswered_events, show: count, wide: true },
  { key: "calls", name: "Calls", read: (node) => node.calls_running, show: count, wide: true },
  { key: "dropped", name: "Dropped", read: dropsOf, show: count, wide: true },
  { key: "subscribed", name: "Patterns", read: (node) => node.subscribed, show: count, wide: true },
  { key: "host", name: "Host", kind: "text", read: (node) => node.host ?? "", wide: true },
];

const stateOf = (node) => (node.away ? "away" : node.state);
function dropsOf(node) {
  return Object.values(node.drops ?? {}).reduce((sum, each) => sum + each, 0);
}

function build(body, { head }) {
  const find = el("input", { type: "search", class: "find", placeholder: "Filter by name or host", "aria-label": "Filter nodes by name or host" });
  head.append(el("div", { class: "panel-tools" }, find));
  const chips = el("div", { class: "chips", role: "group", "aria-label": "Filter nodes by health" });
  const rows = el("tbody");
  const sorters = new Map();
  const titles = el("tr");
  const table = el("div", { class: "scroller tall", tabindex: "0", role: "region", "aria-label": "Table of the nodes" },
    el("table", { class: "table nodes" }, el("thead", {}, titles), rows));
  const none = empty("No node is linked", "A node stands here as soon as the dispatcher knows it: nodeset-node starts one.");
  const more = el("p", { class: "aside muted" });
  const card = makeCard();
  none.hidden = true;
  body.append(chips, table, none, more, card.dialog);

  let state = null;
  let nodes = [];
  let order = { key: "name", is_down: false };
  let health = null;
  for (const column of COLUMNS) {
    const button = el("button", { type: "button", class: "sorter", onclick: () => sortBy(column.key) }, column.name,
      el("span", { class: "arrow", "aria-hidden": "true" }));
    const title = el("th", { scope: "col", class: [column.kind ? "" : "num", column.wide ? "wide" : ""].join(" ").trim(), "data-column": column.key }, button);
    sorters.set(column.key, title);
    titles.append(title);
  }
  find.addEventListener("input", show);
  const chip_of = new Map(Object.entries(STATES).map(([key, name]) => {
    const number = el("span", { class: "chip-number" });
    const chip = el("button", { type: "button", class: "chip", "data-state": key, "aria-pressed": "false", onclick: () => choose(key) },
      el("span", { class: "dot", "aria-hidden": "true" }), `${name} `, number);
    chips.append(chip);
    return [key, { chip, number }];
  }));

  function choose(key) {
    health = health === key ? null : key;
    for (const [each, { chip }] of chip_of) mark(chip, "aria-pressed", each === health);
    show();
  }

  function sortBy(key) {
    const is_text = COLUMNS.find((each) => each.key === key).kind === "text";
    order = order.key === key ? { key, is_down: !order.is_down } : { key, is_down: !is_text };
    show();
  }

  function show() {
    const now = state?.now;
    if (!now) return;
    const tally = {};
    for (const node of nodes) tally[stateOf(node)] = (tally[stateOf(node)] ?? 0) + 1;
    for (const [key, { chip, number }] of chip_of) {
      say(number, count(tally[key] ?? 0));
      chip.hidden = key !== "up" && key !== health && !tally[key];
    }
    const wanted = find.value.trim().toLowerCase();
    const found = nodes.filter((node) =>
      (health === null || stateOf(node) === health) && (!wanted || `${node.name} ${node.host ?? ""}`.toLowerCase().includes(wanted)));
    const { read } = COLUMNS.find((each) => each.key === order.key);
    const sign = order.is_down ? -1 : 1;
    found.sort((one, other) => sign * compare(read(one), read(other)) || compare(one.name, other.name));
    for (const [key, title] of sorters) mark(title, "aria-sort", key !== order.key ? null : order.is_down ? "descending" : "ascending");
    none.hidden = !now.linked || nodes.length > 0;
    table.hidden = chips.hidden = nodes.length === 0;
    keyed(rows, found.slice(0, MOST_ROWS), (each) => each.key, makeRow, fillRow);
    const left = found.length - MOST_ROWS;
    const told = [left > 0 ? `${many(left, "more node")} match${left === 1 ? "es" : ""}: filter to see them.` : "",
      now.more_nodes ? `${many(now.more_nodes, "more node")} ${now.more_nodes === 1 ? "is" : "are"} linked than the bridge lists.` : "",
      nodes.length && !found.length ? "No node matches." : ""];
    say(more, told.filter(Boolean).join(" "));
    card.update(nodes);
  }

  function makeRow(node) {
    const row = el("tr");
    for (const column of COLUMNS) {
      const classes = [column.kind ? "" : "num", column.wide ? "wide" : ""].join(" ").trim();
      if (column.key === "name") {
        row.append(el("th", { scope: "row" }, el("button", { type: "button", class: "link mono", onclick: () => card.open(node.key) })));
      } else if (column.key === "state") {
        row.append(el("td", {}, el("span", { class: "health" }, el("span", { class: "dot", "aria-hidden": "true" }), el("span"))));
      } else row.append(el("td", { class: `${classes}${column.key === "host" ? " mono cut" : ""}` }));
    }
    return row;
  }

  function fillRow(row, node) {
    COLUMNS.forEach((column, place) => {
      const cell = row.children[place];
      if (column.key === "name") say(cell.firstElementChild, node.name);
      else if (column.key === "state") {
        mark(cell.firstElementChild, "data-state", stateOf(node));
        say(cell.firstElementChild.lastElementChild, STATES[stateOf(node)] ?? stateOf(node));
      } else {
        const value = column.read(node);
        say(cell, column.show ? column.show(value) + (column.unit && value > 0 ? column.unit : "") : String(value));
        mark(cell, "data-zero", value === 0 || value === null ? "yes" : null);
      }
    });
  }

  return {
    update(next) {
      // Asked for each second, yet only a new snapshot is another.
      if (state?.now === next.now) return;
      state = next;
      nodes = tellApart(next.now?.nodes ?? []);
      show();
    },
  };
}

// Nodes of one process share its Tub, some of them even a name: those are told apart by their order.
function tellApart(nodes) {
  const seen = new Map();
  return nodes.map((node) => {
    const key = JSON.stringify([node.tub_id, node.name, node.host]);
    const nth = seen.get(key) ?? 0;
    seen.set(key, nth + 1);
    return { ...node, key: `${key} ${nth}` };
  });
}

function compare(one, other) {
  if (one === null || one === undefined) return other === null || other === undefined ? 0 : 1;
  if (other === null || other === undefined) return -1;
  return typeof one === "string" ? one.localeCompare(other, "en", { numeric: true }) : one - other;
}

/** All that is known of one node, over the page; it goes on being told while it is open. */
function makeCard() {
  const title = el("h3", { id: "node-card-title", class: "mono" });
  const list = el("dl", { class: "facts" });
  const close = el("button", { type: "button", class: "button", onclick: () => dialog.close() }, "Close");
  const dialog = el("dialog", { class: "dialog", "aria-labelledby": "node-card-title" }, title,
    el("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Facts about the node" }, list),
    el("div", { class: "row end" }, close));
  let open = null;

  function fill(node) {
    say(title, node.name);
    const drops = Object.entries(node.drops ?? {}).filter(([, number]) => number).map(([reason, number]) => `${reason.replaceAll("_", " ")} ${count(number)}`);
    const facts = [
      ["Health", STATES[stateOf(node)] ?? stateOf(node)],
      ["Host", node.host ?? "unknown"],
      ["Linked since", node.since ? `${moment(node.since)} (${age(Date.now() / 1000 - node.since)})` : "unknown"],
      ["Latency", span(node.latency)],
      ["Published", `${rate(node.published)}/s`],
      ["Delivered", `${rate(node.delivered)}/s`],
      ["Queued", `${many(node.queued_events ?? 0, "event")}, ${size(node.queued_bytes ?? 0)}`],
      ["Unanswered", many(node.unanswered_events ?? 0, "event")],
      ["Calls running", count(node.calls_running)],
      ["Dropped", drops.join(", ") || "nothing"],
      ["Subscriptions", (node.subscriptions ?? []).join(", ") || "none"],
      ["Methods", (node.methods ?? []).join(", ") || "none"],
      ["Stream", node.stream ? String(node.stream) : "none"],
      ["Tub", node.tub_id ?? "unknown"],
      ["Version", node.version ?? "unknown"],
    ];
    keyed(list, facts, ([name]) => name, ([name]) => el("div", {}, el("dt", {}, name), el("dd")),
      (row, [, value]) => say(row.lastElementChild, value));
  }

  return {
    dialog,
    open(key) {
      open = key;
      dialog.showModal();
      this.update(this.nodes ?? []);
    },
    update(nodes) {
      this.nodes = nodes;
      const node = dialog.open ? nodes.find((each) => each.key === open) : null;
      if (node) fill(node);
      else if (dialog.open) say(title, `${title.textContent.replace(/ \(gone\)$/, "")} (gone)`);
    },
  };
}

export default { id: "nodes", title: "Nodes", note: "those that the dispatcher knows", span: 12, build };
