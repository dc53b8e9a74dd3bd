// What was dropped, by reason, since the dispatcher started.

import { el, empty, keyed, mark, say } from "../dom.js";
import { count, rate } from "../format.js";

const STEPS = 100;
const BACK = 15; // Samples over which "now" is counted.

function build(body) {
  const list = el("ul", { class: "bars" });
  const none = empty("Nothing was dropped", "Each event got where it was wanted.");
  none.hidden = true;
  body.append(list, none);
  const before = [];
  return {
    update({ now }) {
      if (!now) return;
      if (before.at(-1)?.at !== now.at) before.push({ at: now.at, drops: now.drops });
      if (before.length > BACK) before.shift();
      const first = before[0];
      const spent = now.at - first.at;
      const reasons = Object.entries(now.drops).filter(([, number]) => number > 0).sort((one, other) => other[1] - one[1]);
      const most = reasons.length ? reasons[0][1] : 1;
      none.hidden = reasons.length > 0;
      list.hidden = reasons.length === 0;
      keyed(list, reasons, ([reason]) => reason, makeRow, (row, [reason, number]) => {
        const speed = spent > 0 ? Math.max(0, number - (first.drops[reason] ?? 0)) / spent : 0;
        say(row.querySelector(".bar-name"), reason.replaceAll("_", " "));
        say(row.querySelector(".bar-number"), count(number));
        say(row.querySelector(".bar-speed"), speed > 0 ? `${rate(speed)}/s now` : "");
        mark(row.querySelector("progress"), "value", Math.max(1, Math.round((number / most) * STEPS)));
        mark(row, "data-live", speed > 0 ? "yes" : null);
      });
    },
  };
}

function makeRow([reason]) {
  return el("li", { class: "bar" },
    el("span", { class: "bar-name" }), el("span", { class: "bar-speed" }), el("span", { class: "bar-number num" }),
    el("progress", { max: STEPS, value: 0, "aria-label": `${reason.replaceAll("_", " ")}, beside the most frequent reason` }));
}

export default { id: "drops", title: "Drops by reason", note: "since the dispatcher started", span: 6, build };
