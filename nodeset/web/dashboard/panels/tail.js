// The events as they come, of one pattern.

import { el, empty, mark, say, uniqueId } from "../dom.js";
import { clockMillis, count, rate, shorten } from "../format.js";
import { follow } from "../stream.js";

const MOST = 200; // Events in the list: older ones go.
const MOST_WAITING = 400; // Events that came since the last drawing: of more only these are shown, the rest counted.
const EVERY = 120; // Milliseconds between two drawings.
const MOST_TEXT = 20_000; // Characters of one payload that are shown.
const PREVIEW = 240;
const START = ">"; // Everything.

function build(body, { head }) {
  const pattern_id = uniqueId("pattern");
  const pattern = el("input", { id: pattern_id, class: "mono", value: START, autocomplete: "off", spellcheck: "false", required: true });
  const form = el("form", { class: "tail-form" }, el("label", { for: pattern_id }, "Pattern"), pattern,
    el("button", { type: "submit", class: "button small" }, "Follow"));
  const pause = el("button", { type: "button", class: "button small quiet", "aria-pressed": "false" }, "Pause");
  const clear = el("button", { type: "button", class: "button small quiet" }, "Clear");
  const told = el("p", { class: "tail-told muted", role: "status" });
  const list = el("ol", { class: "tail", "aria-label": "Events, the newest first" });
  const frame = el("div", { class: "scroller tail-frame", tabindex: "0", role: "region", "aria-label": "Live tail" }, list);
  const none = empty("Nothing yet", "Events of this pattern stand here as they come.");
  head.append(el("div", { class: "panel-tools" }, pause, clear));
  body.append(form, told, frame, none);

  let stream = null;
  let link = "connecting";
  let detail = "";
  let waiting = [];
  let missed = 0; // While paused, or faster than anybody reads.
  let all = 0;
  let recent = []; // How many came at each drawing of the last seconds.
  let timer = null;

  function open() {
    stream?.close();
    const wanted = pattern.value.trim() || START;
    stream = follow(`v1/events/${encodeURIComponent(wanted)}`, {
      names: ["nodeset.gap", "nodeset.slow"],
      onEvent(name, data) {
        if (name === "message") take(data);
        else push({ notice: name === "nodeset.gap" ? "Events are missing here: the bridge no longer had them." : "This page read too slowly, so the bridge cut it off; it is back." });
      },
      onState(state, why) {
        link = state;
        detail = why ?? "";
        tell();
      },
    });
  }

  function take(data) {
    all += 1;
    if (pause.getAttribute("aria-pressed") === "true") missed += 1;
    else push(data);
  }

  function push(item) {
    waiting.push(item);
    if (waiting.length > MOST_WAITING) {
      waiting.shift();
      missed += 1;
    }
    timer ??= setTimeout(draw, EVERY);
  }

  function draw() {
    timer = null;
    const items = waiting.slice(-MOST);
    missed += waiting.length - items.length;
    waiting = [];
    list.prepend(...items.map(makeItem).reverse());
    while (list.childElementCount > MOST) list.lastElementChild.remove();
    none.hidden = list.childElementCount > 0;
    frame.hidden = list.childElementCount === 0;
    if (!list.contains(document.activeElement)) rove(list.querySelector("summary"));
  }

  // One stop for Tab, not two hundred: within the list the arrow keys go from event to event.
  function rove(summary) {
    for (const each of list.querySelectorAll('summary[tabindex="0"]')) if (each !== summary) mark(each, "tabindex", "-1");
    if (summary) mark(summary, "tabindex", "0");
  }

  list.addEventListener("keydown", (event) => {
    const all_of = [...list.querySelectorAll("summary")];
    const place = all_of.indexOf(document.activeElement);
    const wanted = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: all_of.length - 1 }[event.key];
    if (place < 0 || wanted === undefined || !all_of[wanted]) return;
    event.preventDefault();
    rove(all_of[wanted]);
    all_of[wanted].focus();
  });
  list.addEventListener("focusin", (event) => {
    if (event.target.tagName === "SUMMARY") rove(event.target);
  });

  function tell() {
    recent.push([Date.now(), all]);
    recent = recent.filter(([at]) => at > Date.now() - 5_000);
    const [first] = recent;
    const speed = recent.length > 1 ? ((all - first[1]) * 1000) / Math.max(1, Date.now() - first[0]) : 0;
    const is_paused = pause.getAttribute("aria-pressed") === "true";
    const words = { connecting: "Connecting …", lost: "The bridge is gone; trying again.", refused: detail || "Refused.", asleep: "Asleep while this tab is hidden." };
    const text = words[link] ?? (is_paused ? `Paused; ${count(missed)} not shown.`
      : `${rate(speed)}/s, ${count(all)} since opened${missed ? `, ${count(missed)} not shown` : ""}.`);
    // Numbers that change every second are not read out; a change of state is.
    mark(told, "aria-live", link === "open" && !is_paused ? "off" : "polite");
    say(told, text);
    mark(told, "data-state", link);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    wipe();
    open();
  });
  pause.addEventListener("click", () => {
    const is_paused = pause.getAttribute("aria-pressed") === "true";
    mark(pause, "aria-pressed", !is_paused);
    say(pause, is_paused ? "Pause" : "Go on");
    if (is_paused) push({ notice: `${count(missed)} events came while paused.` });
    if (is_paused) missed = 0;
    tell();
  });
  clear.addEventListener("click", wipe);
  addEventListener("nodeset-grant", open);

  function wipe() {
    list.replaceChildren();
    waiting = [];
    missed = all = 0;
    recent = [];
    none.hidden = false;
    frame.hidden = true;
    tell();
  }

  frame.hidden = true;
  open();
  return { update: tell };
}

function makeItem(item) {
  if (item.notice) return el("li", { class: "tail-notice" }, item.notice);
  const is_text = "message" in item;
  const compact = is_text ? JSON.stringify(item.message) : "base64" in item ? `base64 ${item.base64}` : String(item.text ?? "");
  const summary = el("summary", { tabindex: "-1" }, el("time", { class: "tail-time" }, clockMillis(item.at)),
    el("span", { class: "tail-event" }, shorten(String(item.event ?? ""), 200)), el("code", { class: "tail-payload" }, shorten(compact, PREVIEW)));
  const details = el("details", {}, summary);
  // The whole payload is laid out only for who opens it.
  details.addEventListener("toggle", () => {
    if (details.open && details.childElementCount === 1) {
      const whole = is_text ? JSON.stringify(item.message, null, 2) : compact;
      details.append(el("pre", { class: "tail-whole", tabindex: "0" }, shorten(whole, MOST_TEXT)), el("p", { class: "tail-id muted mono" }, `id ${item.id ?? "unknown"}`));
    }
  });
  return el("li", {}, details);
}

export default { id: "tail", title: "Live tail", span: 5, build };
