// The six numbers that one looks at first.

import { el, mark, say } from "../dom.js";
import { count, isKnown, latest, many, rate, size, spanParts, UNKNOWN } from "../format.js";
import { sparkline } from "../plot.js";

const SHOWN = 90; // Samples in a sparkline: three minutes.

const TILES = [
  { id: "nodes", name: "Nodes", field: "nodes", colour: "violet", say: (value) => [count(value), ""], note: healthNote },
  { id: "published", name: "Published", field: "published", colour: "blue", say: (value) => [rate(value), "/s"],
    note: ({ history }) => (isKnown(latest(history, "calls")) ? `${rate(latest(history, "calls"))} calls/s` : "") },
  { id: "delivered", name: "Delivered", field: "delivered", colour: "teal", say: (value) => [rate(value), "/s"], note: fanNote },
  { id: "latency", name: "Latency p99", field: "p99", colour: "amber", say: spanParts,
    note: ({ history }) => `p50 ${spanParts(latest(history, "p50")).join(" ").trim()}` },
  { id: "queued", name: "Queued", field: "queued_events", colour: "violet", say: (value) => [count(value), ""],
    note: ({ history }) => size(latest(history, "queued_bytes")) },
  { id: "dropped", name: "Dropped", field: "dropped", colour: "bad", say: (value) => [rate(value), "/s"], note: dropNote },
];

function healthNote({ now }) {
  const nodes = now?.nodes ?? [];
  const ill = nodes.filter((each) => each.state !== "up").length;
  if (!nodes.length) return "none is linked";
  return ill ? `${count(ill)} not well` : "all up";
}

function fanNote({ history }) {
  const [published, delivered] = [latest(history, "published"), latest(history, "delivered")];
  return published > 0.05 && isKnown(delivered) ? `${(delivered / published).toFixed(1)} per event` : "";
}

function dropNote({ now }) {
  const all = Object.values(now?.drops ?? {}).reduce((sum, each) => sum + each, 0);
  return now ? `${count(all)} in all` : "";
}

function build(body) {
  const list = el("dl", { class: "tiles" });
  const tiles = TILES.map((tile) => {
    const [value, unit, note] = [el("span", { class: "tile-value" }), el("span", { class: "tile-unit" }), el("dd", { class: "tile-note" })];
    const spark = sparkline(tile.colour);
    const box = el("div", { class: "tile", "data-tile": tile.id }, el("dt", {}, tile.name), el("dd", {}, value, unit), note);
    const side = el("div", { class: "tile-spark" }, spark.element);
    box.append(el("dd", { class: "tile-side", "aria-hidden": "true" }, side));
    list.append(box);
    return { ...tile, box, value, unit, noteLine: note, spark };
  });
  body.append(list);
  let drawn = null;
  const redraw = (history) => {
    for (const tile of tiles) tile.spark.draw(history.slice(-SHOWN).map((each) => each[tile.field]));
  };
  let kept = [];
  addEventListener("nodeset-theme", () => redraw(kept));
  return {
    update(state) {
      const { history } = state;
      for (const tile of tiles) {
        const value = latest(history, tile.field);
        const [number, unit] = tile.say(value);
        say(tile.value, number);
        say(tile.unit, number === UNKNOWN ? "" : unit);
        say(tile.noteLine, tile.note(state) ?? "");
        mark(tile.box, "data-alarm", tile.id === "dropped" && value > 0 ? "yes" : null);
      }
      const newest = history.length ? history[history.length - 1].at : 0;
      if (newest === drawn) return;
      [drawn, kept] = [newest, history];
      redraw(history);
    },
  };
}

export default { id: "summary", title: "Summary", span: 12, bare: true, build };
