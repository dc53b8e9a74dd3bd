// How long events take, how far the nodes are.

import { span } from "../format.js";
import { plot } from "../plot.js";

function build(body) {
  return {
    update: plot(body, {
      name: "Latency",
      show: span,
      axis: (value) => (value === 0 ? "0" : span(value)),
    floor: 0.001,
      series: [
        { field: "p99", label: "Events p99", colour: "amber", fill: true },
        { field: "p50", label: "Events p50", colour: "blue" },
        { field: "rtt99", label: "Nodes p99", colour: "violet", dash: true },
      ],
    }),
  };
}

export default { id: "latency", title: "Latency", note: "events through the dispatcher, round trips to nodes", span: 6, build };
