// What waits for slow nodes, in all; who they are.

import { el, empty, keyed, say } from "../dom.js";
import { count, many, size } from "../format.js";
import { plot } from "../plot.js";

const MOST = 5;

function build(body) {
  const draw = plot(body, {
    name: "Events queued",
    show: count,
    floor: 10,
    steps: [1, 2, 5].flatMap((each) => [1, 10, 100, 1e3, 1e4, 1e5, 1e6, 1e7].map((times) => each * times)).sort((one, other) => one - other),
    series: [{ field: "queued_events", label: "Events waiting", colour: "violet", fill: true }],
  });
  const list = el("ol", { class: "longest", "aria-label": "Longest queues" });
  const none = empty("No queue", "No event waits for a node.");
  none.hidden = true;
  body.append(list, none);
  return {
    update(state) {
      draw(state);
      const longest = (state.now?.nodes ?? [])
        .filter((each) => each.queued_events > 0)
        .sort((one, other) => other.queued_events - one.queued_events)
        .slice(0, MOST);
      none.hidden = !state.now?.linked || longest.length > 0;
      list.hidden = longest.length === 0;
      keyed(list, longest, (each) => each.name, () => {
        const row = el("li", {}, el("span", { class: "mono cut" }), el("span", { class: "num" }), el("span", { class: "num muted" }));
        return row;
      }, (row, each) => {
        say(row.children[0], each.name);
        say(row.children[1], many(each.queued_events, "event"));
        say(row.children[2], size(each.queued_bytes));
      });
    },
  };
}

export default { id: "queues", title: "Queues", note: "events that wait for a node", span: 6, build };
