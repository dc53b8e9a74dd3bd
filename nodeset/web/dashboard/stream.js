// An EventSource that comes back: with a ticket of its own each time, later each time, at once when the tab is looked at.

import { Problem, address, ask, buyTicket } from "./bridge.js";

const FIRST_DELAY = 500;
const LAST_DELAY = 5_000;
const ASLEEP_AFTER = 20_000; // A browser has six connections to a host for all its tabs: a hidden tab gives its own back.

/**
 * Follow a stream of the bridge.
 *
 * `names` are the events to hear beside plain messages; `onEvent(name, data, id)` gets each; `onState(state, detail)` is told
 * "connecting", "open", "lost" (nobody answers), "refused" (detail says why; tried again only by `again()`), "asleep".
 * `silence` is after how many milliseconds without an event the stream counts as dead, 0 for never.
 */
export function follow(path, { query = {}, names = [], onEvent, onState, silence = 0 }) {
  let source = null;
  let timer = null;
  let watch = null;
  let hiding = null;
  let failures = 0;
  let turn = 0; // Answers to questions of an earlier turn are nobody's.
  let last = null;
  let over = false;
  let asleep = false;

  function drop() {
    turn += 1;
    clearTimeout(timer);
    clearTimeout(watch);
    timer = null;
    source?.close();
    source = null;
  }

  function heard() {
    if (!silence) return;
    clearTimeout(watch);
    watch = setTimeout(fail, silence);
  }

  async function connect() {
    drop();
    const mine = turn;
    try {
      const ticket = await buyTicket(path);
      if (over || mine !== turn) return;
      source = new EventSource(address(path, { ...query, ticket, last_event_id: last }));
    } catch (error) {
      if (!over && mine === turn) later(error);
      return;
    }
    heard();
    source.onopen = () => {
      failures = 0;
      heard();
      onState("open");
    };
    source.onerror = fail;
    for (const name of ["message", ...names]) source.addEventListener(name, take);
  }

  function take(event) {
    heard();
    if (event.lastEventId) last = event.lastEventId;
    let data;
    try {
      data = JSON.parse(event.data);
    } catch {
      data = { text: event.data };
    }
    onEvent(event.type, data, event.lastEventId);
  }

  // The browser does not tell why a stream failed, so we ask the same address without a stream.
  async function fail() {
    drop();
    const mine = turn;
    let why = null;
    try {
      await ask("GET", path, { query: { ...query, wait: 0 } });
    } catch (error) {
      why = error;
    }
    if (!over && mine === turn) later(why);
  }

  function later(why) {
    if (why instanceof Problem && [401, 403].includes(why.status)) {
      onState("refused", why.message);
      return;
    }
    const delay = Math.min(LAST_DELAY, FIRST_DELAY * 2 ** failures) * (0.75 + Math.random() / 2);
    failures += 1;
    onState(why instanceof Problem || why === null ? "connecting" : "lost", why?.message ?? "");
    timer = setTimeout(connect, delay);
  }

  function look() {
    clearTimeout(hiding);
    if (document.hidden) {
      hiding = setTimeout(() => {
        drop();
        asleep = true;
        onState("asleep");
      }, ASLEEP_AFTER);
    } else if (asleep || timer !== null) {
      asleep = false;
      failures = 0;
      connect();
    }
  }

  document.addEventListener("visibilitychange", look);
  addEventListener("online", look);
  onState("connecting");
  connect();
  return {
    /** Try now, whatever was said before. */
    again() {
      failures = 0;
      onState("connecting");
      connect();
    },
    close() {
      over = true;
      drop();
      clearTimeout(hiding);
      document.removeEventListener("visibilitychange", look);
      removeEventListener("online", look);
    },
  };
}
