// The page: it builds the panels, tells each what is known, says who is gone.

import { ask, keepGrant, readGrant } from "./bridge.js";
import { el, mark, say } from "./dom.js";
import { watchFigures } from "./figures.js";
import * as format from "./format.js";
import panels from "./panels.js";

const find = (id) => document.getElementById(id);
const page = { who: null, figures: null };
const built = [];

function buildPanels() {
  for (const panel of panels) {
    const body = el("div", { class: "panel-body" });
    const head = el("header", { class: "panel-head" }, el("h2", { id: `${panel.id}-title` }, panel.title));
    if (panel.note) head.append(el("p", { class: "panel-note" }, panel.note));
    const section = el("section", {
      id: panel.id,
      class: `panel span-${panel.span}`,
      "aria-labelledby": `${panel.id}-title`,
      tabindex: "-1",
    }, head, body);
    if (panel.bare) section.classList.add("bare");
    find("panels").append(section);
    const link = el("a", { href: `#${panel.id}` }, panel.title);
    find("contents").append(link);
    try {
      built.push({ section, link, body, shown: true, ...panel.build(body, { head, page }) });
    } catch (error) {
      fail(body, error);
    }
  }
}

// One panel that fails leaves the others as they are.
function fail(body, error) {
  body.replaceChildren(el("p", { class: "said bad" }, `This panel failed: ${error.message}`));
  console.error(error);
}

let drawing = false;
function draw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    const state = { ...page.figures, who: page.who };
    tellState(state);
    for (const panel of built) {
      const is_shown = panel.isShown ? panel.isShown(state) : true;
      panel.section.hidden = panel.link.hidden = !is_shown;
      if (!is_shown || panel.broken) continue;
      try {
        panel.update?.(state);
      } catch (error) {
        panel.broken = true;
        fail(panel.body, error);
      }
    }
  });
}

/** In a word: who is there; as the status; the title of the banner, its words, since when that is so. */
function judge({ link, detail, since, now, history, who }) {
  if (link === "refused" && who?.forms) return ["refused", "No access", "This grant shows no figures.", `It was said: ${detail}`];
  if (link === "refused") {
    return ["refused", "No access", "This bridge wants a grant.", `${detail} Use a grant to see the figures.`];
  }
  if (link === "lost") {
    return ["lost", "Bridge gone", "The bridge is gone.",
      "nodeset-web does not answer. This page keeps trying; what is shown below is the last that it told.", since];
  }
  if (link === "asleep") return ["connecting", "Paused", "", ""];
  if (now === null || (link === "connecting" && Date.now() / 1000 - since > 3)) {
    return ["connecting", "Connecting", "", ""];
  }
  if (!now.linked) {
    return ["gone", "Dispatcher gone", "The dispatcher is gone.",
      `${sentence(now.reason)}The bridge keeps trying; what is shown below is the last that was known.`, lostAt(history)];
  }
  if (now.reason) return ["partly", "Live", "Not all can be told.", sentence(now.reason)];
  return ["live", "Live", "", ""];
}

/** Since when all samples say that there is no dispatcher. */
function lostAt(history) {
  let place = history.length - 1;
  while (place > 0 && !history[place - 1].linked) place -= 1;
  return history[place]?.at;
}

function sentence(text) {
  const trimmed = String(text ?? "").trim();
  return trimmed ? `${trimmed[0].toUpperCase()}${trimmed.slice(1).replace(/\.?$/, ". ")}` : "";
}

function tellState(state) {
  const [word, status, title, text, since] = judge(state);
  mark(find("status"), "data-state", word);
  say(find("status-text"), status);
  mark(document.body, "data-state", word);
  find("banner").hidden = !title;
  mark(find("banner"), "data-state", word);
  say(find("banner-title"), title);
  say(find("banner-text"), text);
  // Apart from what is read out, which would else be read out again each second.
  say(find("banner-age"), since ? `Gone for ${format.age(Date.now() / 1000 - since)}.` : "");
  const now = state.now;
  say(find("site"), now?.site ?? "");
  document.title = `${["live", "partly", "connecting"].includes(word) ? "" : `${status} – `}${now?.site || "NodeSet"}`;
  const told = now ? [`NodeSet ${now.version}`, `dispatcher up ${format.age(now.uptime)}`, `figures of ${format.clock(now.at)}`] : [];
  if (state.who) told.push(state.who.anonymous ? "without a grant" : `as ${state.who.name}`);
  if (state.who?.expires) told.push(`until ${format.moment(state.who.expires)}`);
  say(find("foot"), told.join(" · "));
}

async function askWho() {
  try {
    page.who = (await ask("GET", "v1/whoami")).value;
  } catch {
    page.who = null; // The stream of figures says why.
  }
  find("grant").hidden = false;
  say(find("grant"), readGrant() === null ? "Use a grant" : "Your grant");
  draw();
}

function furnishGrant(figures) {
  const dialog = find("grant-dialog");
  const token = find("grant-token");
  find("grant").addEventListener("click", () => {
    say(find("grant-said"), isSecureContext ? "" : "This page came without encryption: whoever is on the way can read what you paste.");
    token.value = "";
    find("grant-forget").hidden = readGrant() === null;
    dialog.showModal();
  });
  find("grant-cancel").addEventListener("click", () => dialog.close());
  find("grant-forget").addEventListener("click", () => {
    dialog.close();
    change(null);
  });
  find("grant-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const before = readGrant();
    const text = token.value.trim();
    if (!text) return say(find("grant-said"), "Paste a token first.");
    keepGrant(text);
    try {
      await ask("GET", "v1/whoami");
    } catch (error) {
      keepGrant(before);
      return say(find("grant-said"), error.message);
    }
    token.value = "";
    dialog.close();
    change(text);
  });

  function change(text) {
    keepGrant(text);
    askWho();
    figures.again();
    dispatchEvent(new Event("nodeset-grant"));
  }
}

buildPanels();
let link = null;
const figures = watchFigures((state) => {
  page.figures = state;
  // Whoever we are may have changed while the bridge was away.
  if (state.link === "open" && link !== "open") askWho();
  if (state.link === "refused" && link !== "refused") askWho();
  link = state.link;
  draw();
});
furnishGrant(figures);
setInterval(draw, 1000); // "for 12 s" goes on while nobody tells anything.
