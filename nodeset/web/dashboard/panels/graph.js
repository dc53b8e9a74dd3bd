// Who publishes, who gets what: publishers, the dispatcher, patterns, subscribers; as a drawing or as a table.

import { el, empty, keyed, mark, say, svg } from "../dom.js";
import { many, rate, shorten } from "../format.js";
import { narrow, plan, signature } from "../graph-plan.js";

const LEAST_ROW = 32;
const MOST_ROW = 52;
const BOX = 26;
const ROOM = 400; // The height that few rows spread over.
const TOP = 34;
const FEW_ROWS = 14;
const LETTER = 7.3; // The width of a letter of the drawing's font, which is monospaced.
const NARROW = 620;
const NAMES = 8;

function build(body, { head }) {
  const find = el("input", { type: "search", class: "find", placeholder: "Find by name", "aria-label": "Find a node or pattern" });
  const as_table = el("button", { type: "button", class: "button small quiet", "aria-pressed": "false" }, "As a table");
  const all = el("button", { type: "button", class: "button small quiet", "aria-pressed": "false", hidden: true }, "Show all");
  head.append(el("div", { class: "panel-tools" }, find, all, as_table));
  const drawing = svg("svg", { class: "graph", role: "img", "aria-label": "Subscriptions" });
  const frame = el("div", { class: "graph-frame", tabindex: "0", role: "region", "aria-label": "Drawing of the subscriptions" }, drawing);
  const rows = el("tbody");
  const table = el("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": "Table of the subscriptions", hidden: true },
    el("table", { class: "table patterns" }, el("thead", {}, el("tr", {},
      el("th", { scope: "col" }, "Pattern"), el("th", { scope: "col", class: "num" }, "Nodes"), el("th", { scope: "col" }, "Subscribed"))), rows));
  const none = empty("Nobody is subscribed", "Patterns stand here as soon as a node subscribes to one.");
  const aside = el("p", { class: "aside muted" });
  none.hidden = true;
  body.append(frame, table, none, aside);

  let state = null;
  let drawn = "";
  let shapes = null;
  as_table.addEventListener("click", () => {
    mark(as_table, "aria-pressed", as_table.getAttribute("aria-pressed") !== "true");
    show();
  });
  all.addEventListener("click", () => {
    mark(all, "aria-pressed", all.getAttribute("aria-pressed") !== "true");
    show();
  });
  find.addEventListener("input", show);
  new ResizeObserver(() => show()).observe(frame);

  function show() {
    const now = state?.now;
    if (!now) return;
    const is_table = as_table.getAttribute("aria-pressed") === "true";
    const is_all = all.getAttribute("aria-pressed") === "true";
    const is_none = !now.nodes.some((each) => each.subscriptions.length || each.published > 0.01);
    none.hidden = !is_none || !now.linked;
    const wanted = find.value.trim().toLowerCase();
    const nodes = wanted ? narrow(now.nodes, wanted) : now.nodes;
    frame.hidden = is_table || is_none || !nodes.length;
    table.hidden = !is_table || is_none || !nodes.length;
    const idle = nodes.filter((each) => !each.subscriptions.length && !(each.published > 0.01)).length;
    const told = [wanted && !nodes.length ? "No node or pattern matches" : "",
      idle ? `${many(idle, "node")} neither publish${idle === 1 ? "es" : ""} now nor subscribe${idle === 1 ? "s" : ""}` : "",
      now.more_nodes ? `${many(now.more_nodes, "more node")} ${now.more_nodes === 1 ? "is" : "are"} not listed` : ""];
    say(aside, told.filter(Boolean).map((each) => `${each}.`).join(" "));
    if (is_table) fillTable(nodes);
    if (frame.hidden || !frame.clientWidth) return;
    const planned = plan(nodes, is_all ? 400 : FEW_ROWS);
    all.hidden = !is_all && !Object.values(planned.more).some(Boolean);
    const is_new = JSON.stringify([signature(planned), frame.clientWidth]);
    if (is_new !== drawn) {
      drawn = is_new;
      shapes = draw(drawing, planned, frame.clientWidth);
    }
    refresh(shapes, planned, now);
    mark(drawing, "aria-label", `Subscriptions: ${many(now.nodes.length, "node")}, ${many(planned.patterns.length + planned.more.patterns, "pattern")}. The button As a table shows the same as text.`);
  }

  function fillTable(nodes) {
    const names = new Map();
    for (const node of nodes) for (const each of node.subscriptions) names.set(each, [...(names.get(each) ?? []), node.name]);
    const sorted = [...names].sort((one, other) => (one[0] < other[0] ? -1 : 1));
    keyed(rows, sorted, ([pattern]) => pattern,
      () => el("tr", {}, el("th", { scope: "row", class: "mono" }), el("td", { class: "num" }), el("td")),
      (row, [pattern, who]) => {
        say(row.children[0], pattern);
        say(row.children[1], String(who.length));
        say(row.children[2], who.slice(0, NAMES).join(", ") + (who.length > NAMES ? ` and ${who.length - NAMES} more` : ""));
      });
  }

  return {
    update(next) {
      state = next;
      show();
    },
  };
}

function draw(drawing, planned, width) {
  const is_narrow = width < NARROW;
  const tallest = Math.max(1, is_narrow ? 0 : rowsOf(planned, "publishers"), rowsOf(planned, "patterns"), rowsOf(planned, "subscribers"));
  const row = Math.min(MOST_ROW, Math.max(LEAST_ROW, Math.floor(ROOM / tallest)));
  const height = TOP + tallest * row + 8;
  const is_tall = tallest * row > ROOM + LEAST_ROW; // One scrolls then: in the middle of a column nobody would find it.
  mark(drawing, "viewBox", `0 0 ${width} ${height}`);
  mark(drawing, "width", width);
  mark(drawing, "height", height);
  const box_width = is_narrow ? Math.floor(width * 0.42) : Math.min(230, Math.floor(width * 0.25));
  const bus = is_narrow ? null : Math.round(box_width + (width - 3 * box_width) * 0.28);
  const lefts = { publishers: is_narrow ? null : 1, patterns: is_narrow ? 1 : Math.round((bus + width - box_width) / 2 - box_width * 0.36), subscribers: width - box_width - 1 };
  const edges = svg("g", { class: "edges" });
  const boxes = svg("g", {});
  const shapes = { edges: [], boxes: new Map(), bus: null };
  const titles = { publishers: "Publishing", patterns: "Patterns", subscribers: "Subscribed" };
  const places = {};
  for (const column of ["publishers", "patterns", "subscribers"]) {
    if (lefts[column] === null) continue;
    const offset = TOP + (is_tall ? 0 : ((tallest - Math.max(1, rowsOf(planned, column))) * row) / 2);
    boxes.append(svg("text", { class: "graph-title", x: lefts[column], y: 16 }, titles[column]));
    places[column] = new Map();
    planned[column].forEach((each, place) => {
      const y = offset + place * row + (row - LEAST_ROW) / 2;
      places[column].set(each.key, y + BOX / 2);
      const shape = drawBox(each, column, lefts[column], y, box_width);
      shapes.boxes.set(`${column}:${each.key}`, shape);
      boxes.append(shape.element);
    });
    if (planned.more[column]) {
      boxes.append(svg("text", { class: "graph-more", x: lefts[column] + 10, y: offset + planned[column].length * row + 18 }, `and ${planned.more[column]} more`));
    }
  }
  if (bus !== null) {
    shapes.bus = svg("rect", { class: "bus", x: bus - 5, y: TOP - 4, width: 10, height: height - TOP, rx: 5 });
    boxes.append(svg("text", { class: "graph-title", x: bus, y: 16, "text-anchor": "middle" }, "Dispatcher"), shapes.bus);
    for (const each of planned.publishers) link(["publishers", each.key], null, lefts.publishers + box_width, places.publishers.get(each.key), bus - 5, clamp(places.publishers.get(each.key), height));
    for (const each of planned.patterns) link(null, ["patterns", each.key], bus + 5, places.patterns.get(each.key), lefts.patterns, places.patterns.get(each.key));
  }
  for (const [pattern, key] of planned.links) {
    link(["patterns", pattern], ["subscribers", key], lefts.patterns + box_width, places.patterns.get(pattern), lefts.subscribers, places.subscribers.get(key));
  }

  function link(from, to, x1, y1, x2, y2) {
    const bend = (x2 - x1) * 0.5;
    const path = svg("path", { class: "edge", d: `M${x1} ${y1}C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2} ${y2}` });
    edges.append(path);
    shapes.edges.push({ path, ends: [from, to].filter(Boolean).map((each) => each.join(":")) });
  }

  drawing.replaceChildren(edges, boxes);
  for (const [key, { element }] of shapes.boxes) {
    element.addEventListener("pointerenter", () => trace(shapes, new Set([key])));
    element.addEventListener("pointerleave", () => rest(shapes));
  }
  return shapes;
}

const rowsOf = (planned, column) => planned[column].length + (planned.more[column] ? 1 : 0);
const clamp = (y, height) => Math.min(Math.max(y, TOP + 4), height - 12);

function drawBox(each, column, x, y, width) {
  const is_pattern = column === "patterns";
  const speed = is_pattern ? null : svg("text", { class: "graph-rate", x: x + width - 10, y: y + 17, "text-anchor": "end" });
  const room = Math.floor((width - (is_pattern ? 20 : 74)) / LETTER);
  const element = svg("g", { class: `box ${is_pattern ? "pattern" : "node"}` },
    svg("title", {}, is_pattern ? `${each.label}: ${many(each.nodes, "node")}` : each.label),
    svg("rect", { class: "box-ground", x, y, width, height: BOX, rx: is_pattern ? 13 : 6 }),
    is_pattern ? null : svg("circle", { class: "box-dot", cx: x + 12, cy: y + BOX / 2, r: 3.5 }),
    svg("text", { class: "graph-label", x: x + (is_pattern ? 12 : 22), y: y + 17 }, shorten(each.label, Math.max(4, room))),
    speed);
  return { element, speed };
}

function refresh(shapes, planned, now) {
  for (const column of ["publishers", "subscribers"]) {
    const field = column === "publishers" ? "published" : "delivered";
    for (const each of planned[column]) {
      const shape = shapes.boxes.get(`${column}:${each.key}`);
      if (!shape) continue;
      say(shape.speed, now.linked && each[field] > 0.01 ? `${rate(each[field])}/s` : "");
      mark(shape.element, "data-state", each.is_away ? "away" : each.state);
    }
  }
  const busy = new Set(planned.subscribers.filter((each) => each.delivered > 0.01).map((each) => `subscribers:${each.key}`));
  for (const each of planned.publishers) busy.add(`publishers:${each.key}`);
  const is_still = shapes.edges.length > 80; // So many moving lines tell nothing, yet cost a core.
  for (const { path, ends } of shapes.edges) {
    const is_busy = now.linked && (ends.length === 1 ? busy.has(ends[0]) || ends[0].startsWith("patterns") : busy.has(ends[1]));
    mark(path, "data-busy", is_busy ? (is_still ? "still" : "yes") : null);
  }
  if (shapes.bus) mark(shapes.bus, "data-gone", now.linked ? null : "yes");
}

/** Show what is linked with these boxes, the rest dimmed. */
function trace(shapes, keys) {
  const near = new Set(keys);
  // Through a pattern the way goes on; a node's other patterns are not of the way.
  for (const { ends } of shapes.edges) {
    if (ends.length === 2 && ends.some((end) => keys.has(end))) ends.forEach((end) => near.add(end));
  }
  for (const { path, ends } of shapes.edges) {
    const is_lit = ends.length === 2 ? ends.some((end) => keys.has(end)) : near.has(ends[0]);
    mark(path, "data-lit", is_lit ? "yes" : "no");
  }
  for (const [key, { element }] of shapes.boxes) mark(element, "data-lit", near.has(key) ? "yes" : "no");
}

function rest(shapes) {
  for (const { path } of shapes.edges) mark(path, "data-lit", null);
  for (const { element } of shapes.boxes.values()) mark(element, "data-lit", null);
}

export default { id: "graph", title: "Subscriptions", note: "who gets what", span: 7, build };
