// The panels in the order of the page: a new one is a file in panels/, an import here, a place in the list.
//
// Each is a module whose default export is {id, title, note, span, build}: docs/dashboard.md tells what these promise.

import call from "./panels/call.js";
import drops from "./panels/drops.js";
import graph from "./panels/graph.js";
import latency from "./panels/latency.js";
import nodes from "./panels/nodes.js";
import publish from "./panels/publish.js";
import queues from "./panels/queues.js";
import rates from "./panels/rates.js";
import summary from "./panels/summary.js";
import tail from "./panels/tail.js";

export default [summary, rates, latency, graph, tail, queues, drops, nodes, publish, call];
