// Lines over the last ten minutes, drawn by uPlot, with a legend that is text.

import { el, mark, say } from "./dom.js";
import { clock, isKnown } from "./format.js";
import uPlot from "./vendor/uPlot.esm.js";

const WINDOW = 600;
const LEAST_WINDOW = 60; // Seconds: of a bridge that was just started there is not more to show.
const HEIGHT = 216;
const GAP = 8; // Intervals: while nobody looks, the bridge takes a sample every five.
const SYNC = uPlot.sync("nodeset");

// A canvas knows no custom properties: the colours are read off an element that has them.
function readColour(root, name) {
  const probe = el("span", { class: `colour-${name}`, hidden: true });
  root.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

function fade(colour, share) {
  const parts = colour.match(/[\d.]+/g);
  return parts && colour.startsWith("rgb") ? `rgba(${parts.slice(0, 3).join(",")},${share})` : colour;
}

/**
 * A plot below `body`.
 *
 * `series` is a list of {field, label, colour, fill, dash}; `show(value)` says a value with its unit, `axis(value)`
 * what the axis is labelled with; the axis reaches up to `floor` at least, its steps
 * are among `steps` if there are any. Gives a function to be called with each state.
 */
export function plot(body, { name, series, show, axis = show, floor = 1, steps = null }) {
  const legend = el("ul", { class: "legend" });
  const items = series.map(({ label, colour, dash }) => {
    const value = el("span", { class: "legend-value" });
    legend.append(el("li", {}, el("span", { class: `swatch colour-${colour}${dash ? " dashed" : ""}`, "aria-hidden": "true" }),
      el("span", { class: "legend-name" }, label), value));
    return value;
  });
  const time = el("span", { class: "legend-time", "aria-hidden": "true" });
  const frame = el("div", { class: "plot", role: "img", "aria-label": name });
  body.append(el("div", { class: "legend-row" }, legend, time), frame);

  let chart = null;
  let data = [[], ...series.map(() => [])];
  let breaks = [];

  function drawBreaks(u) {
    const { ctx, bbox } = u;
    ctx.save();
    ctx.fillStyle = fade(readColour(body, "bad"), 0.12);
    for (const [from, to] of breaks) {
      const left = Math.max(bbox.left, u.valToPos(from, "x", true));
      const right = Math.min(bbox.left + bbox.width, u.valToPos(to, "x", true));
      if (right > left) ctx.fillRect(left, bbox.top, right - left, bbox.height);
    }
    ctx.restore();
  }

  function sayValues() {
    const at = chart?.cursor.idx ?? null;
    const place = at ?? data[0].length - 1;
    items.forEach((item, which) => say(item, show(data[which + 1][place])));
    say(time, at === null ? "" : clock(data[0][at]));
  }

  function make() {
    chart?.destroy();
    const grid = { stroke: readColour(body, "grid"), width: 1 };
    const ink = readColour(body, "muted");
    const font = '12px system-ui, "Segoe UI", Roboto, sans-serif';
    chart = new uPlot({
      width: Math.max(200, frame.clientWidth),
      height: HEIGHT,
      padding: [8, 18, 0, 0],
      legend: { show: false },
      cursor: { sync: { key: SYNC.key }, drag: { x: false, y: false }, points: { size: 7 }, y: false },
      scales: { x: { time: true, range: () => frameOf(data[0]) }, y: { range: (_, low, high) => [0, Math.max(floor, (high || 0) * 1.12)] } },
      axes: [
        { stroke: ink, grid: { show: false }, ticks: { show: false }, font, size: 26, space: 70,
          values: (u, places, _axis, _space, step) => places.map((each) => clock(each).slice(0, step < 60 ? 8 : 5)), incrs: [10, 15, 30, 60, 120, 300] },
        { stroke: ink, grid, ticks: { show: false }, font, size: 62, space: 44, gap: 8, ...(steps ? { incrs: steps } : {}), values: (_, places) => places.map(axis) },
      ],
      series: [{}, ...series.map(({ label, colour, fill, dash }) => {
        const stroke = readColour(body, colour);
        return { label, stroke, width: 2, dash: dash ? [5, 4] : undefined, points: { show: false }, spanGaps: false,
          fill: fill ? (u) => shadeBelow(u, stroke) : undefined };
      })],
      hooks: { drawClear: [drawBreaks], setCursor: [sayValues] },
    }, data, frame);
  }

  function frameOf(times) {
    const end = times.length ? times[times.length - 1] : Date.now() / 1000;
    const start = times.length ? times[0] : end;
    return [Math.min(Math.max(start, end - WINDOW), end - LEAST_WINDOW), end];
  }

  new ResizeObserver(() => {
    if (frame.clientWidth && chart) chart.setSize({ width: Math.max(200, frame.clientWidth), height: HEIGHT });
  }).observe(frame);
  addEventListener("nodeset-theme", make);

  let newest = null;
  return ({ history, interval }) => {
    const last = history.length ? history[history.length - 1].at : 0;
    if (chart && last === newest) return;
    newest = last;
    const wanted = withGaps(history, interval);
    data = [wanted.map((each) => each.at), ...series.map(({ field }) => wanted.map((each) => each[field] ?? null))];
    breaks = findBreaks(history);
    if (chart) chart.setData(data);
    else make();
    sayValues();
    mark(frame, "aria-label", describe(name, series, data, show));
  };
}

/** The samples, with an empty one where some are missing: a line over minutes of which nobody knows would be a lie. */
function withGaps(history, interval) {
  const found = [];
  for (const each of history) {
    const before = found[found.length - 1];
    if (before && each.at - before.at > GAP * interval) found.push({ at: before.at + interval });
    found.push(each);
  }
  return found;
}

function shadeBelow(u, stroke) {
  const { ctx, bbox } = u;
  const shade = ctx.createLinearGradient(0, bbox.top, 0, bbox.top + bbox.height);
  shade.addColorStop(0, fade(stroke, 0.22));
  shade.addColorStop(1, fade(stroke, 0.02));
  return shade;
}

/** When the dispatcher was not there: pairs of Unix times. */
function findBreaks(history) {
  const found = [];
  let from = null;
  for (const { at, linked } of history) {
    if (!linked && from === null) from = at;
    if (linked && from !== null) {
      found.push([from, at]);
      from = null;
    }
  }
  if (from !== null) found.push([from, history[history.length - 1].at + 1]);
  return found;
}

function describe(name, series, data, show) {
  const words = series.map(({ label }, which) => {
    const known = data[which + 1].filter(isKnown);
    if (!known.length) return `${label} unknown`;
    return `${label} ${show(known[known.length - 1])} now, ${show(Math.max(...known))} at most`;
  });
  return `${name}, last ten minutes: ${words.join("; ")}.`;
}

/** A line of recent values without axes, 0 at the bottom: {element, draw(values)}. */
export function sparkline(colour) {
  const canvas = el("canvas", { class: "spark", width: "240", height: "56", "aria-hidden": "true" });
  return {
    element: canvas,
    draw(values) {
      const context = canvas.getContext("2d");
      const { width, height } = canvas;
      context.clearRect(0, 0, width, height);
      const most = Math.max(1e-9, ...values.filter(isKnown)) * 1.1;
      const stroke = readColour(canvas.parentElement, colour);
      const step = width / Math.max(1, values.length - 1);
      let run = [];
      const finish = () => {
        if (run.length > 1) {
          context.beginPath();
          run.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
          context.lineWidth = 3;
          context.lineJoin = "round";
          context.strokeStyle = stroke;
          context.stroke();
          context.lineTo(run[run.length - 1][0], height);
          context.lineTo(run[0][0], height);
          context.fillStyle = fade(stroke, 0.12);
          context.fill();
        }
        run = [];
      };
      values.forEach((value, place) => {
        if (isKnown(value)) run.push([place * step, height - 3 - (value / most) * (height - 6)]);
        else finish();
      });
      finish();
    },
  };
}
