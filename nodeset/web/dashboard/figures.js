// What the page knows: the samples of the last ten minutes, the newest snapshot, whether anybody still tells us.

import { ask } from "./bridge.js";
import { follow } from "./stream.js";

const WINDOW = 600; // Seconds.
const MOST_SAMPLES = 2_000;
const SILENCE = 15_000; // Milliseconds without a figure after which the stream is opened again.

/**
 * Follow /v1/figures; `onChange(state)` is called after each change with
 * {link, detail, since, interval, history, now}: link is that to the bridge, as stream.js names it.
 */
export function watchFigures(onChange) {
  const state = { link: "connecting", detail: "", since: Date.now() / 1000, interval: 2, history: [], now: null };
  let asking = false;

  function add(samples) {
    const known = new Map(state.history.map((each) => [each.at, each]));
    for (const each of samples) known.set(each.at, each);
    const all = [...known.values()].sort((one, other) => one.at - other.at);
    const newest = all.length ? all[all.length - 1].at : 0;
    state.history = all.filter((each) => each.at > newest - WINDOW).slice(-MOST_SAMPLES);
  }

  async function readHistory() {
    if (asking) return;
    asking = true;
    try {
      const { value } = await ask("GET", "v1/figures");
      state.interval = value.interval;
      add(value.history);
      if (state.now === null || value.now.at >= state.now.at) state.now = value.now;
      onChange(state);
    } catch {
      // The stream, which fails for the same reason, tells it.
    } finally {
      asking = false;
    }
  }

  return follow("v1/figures", {
    names: ["figures"],
    silence: SILENCE,
    onEvent(name, data) {
      if (name !== "figures") return;
      add([data.sample]);
      state.now = data.now;
      onChange(state);
    },
    onState(link, detail = "") {
      if (link !== state.link) state.since = Date.now() / 1000;
      state.link = link;
      state.detail = detail;
      onChange(state);
      if (link === "open") readHistory();
    },
  });
}
