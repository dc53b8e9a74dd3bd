// Events per second.

import { rate } from "../format.js";
import { plot } from "../plot.js";

function build(body) {
  return {
    update: plot(body, {
      name: "Events per second",
      show: (value) => rate(value) + (value === null || value === undefined ? "" : "/s"),
      axis: (value) => rate(value),
      series: [
        { field: "delivered", label: "Delivered", colour: "teal", fill: true },
        { field: "published", label: "Published", colour: "blue", fill: true },
        { field: "dropped", label: "Dropped", colour: "bad", dash: true },
      ],
    }),
  };
}

export default { id: "rates", title: "Events", note: "per second", span: 6, build };
