// Publish an event, for who came with a grant.

import { Problem, ask } from "../bridge.js";
import { el, mark, say } from "../dom.js";
import { many } from "../format.js";
import { field, list, readJson } from "../forms.js";

const LEVELS = [["delivered", "until it was handed to its nodes"], ["accepted", "until the dispatcher has it"], ["handled", "until its handlers have run"]];

function build(body) {
  const event = el("input", { class: "mono", required: true, autocomplete: "off", spellcheck: "false", placeholder: "orders.created" });
  const message = el("textarea", { class: "mono", rows: "5", spellcheck: "false" }, "{}");
  const level = el("select", {}, ...LEVELS.map(([value, words]) => el("option", { value }, `${value}: ${words}`)));
  const send = el("button", { type: "submit", class: "button" }, "Publish");
  const said = el("p", { class: "said", role: "status" });
  const rights = el("p", { class: "muted aside" });
  const form = el("form", { class: "form" }, field("Event", event), field("Message, in JSON", message), field("Wait", level), rights,
    el("div", { class: "row" }, send, said));
  body.append(form);
  form.addEventListener("submit", async (submitted) => {
    submitted.preventDefault();
    const wrong = readJson(message.value);
    if (wrong) return tell(said, `The message is no JSON: ${wrong}`, "bad");
    send.disabled = true;
    tell(said, "Publishing …", "");
    try {
      const { value } = await ask("POST", `v1/events/${encodeURIComponent(event.value.trim())}`,
        { json: message.value, headers: { "NodeSet-Confirm": level.value } });
      const told = [`for ${many(value.matched, "node")}`];
      if ("delivered" in value) told.push(`delivered to ${value.delivered}`);
      if (value.dropped) told.push(`${value.dropped} dropped`);
      tell(said, `Published, ${told.join(", ")}.`, "ok");
    } catch (error) {
      tell(said, error instanceof Problem ? error.message : `${error.message}: whether it was published is not known.`, "bad");
    } finally {
      send.disabled = false;
    }
  });
  return {
    isShown: ({ who }) => who?.forms === true,
    update({ who }) {
      say(rights, `Your grant publishes ${list(who.publish)}.`);
    },
  };
}

function tell(said, text, tone) {
  say(said, text);
  mark(said, "data-tone", tone);
}

export default { id: "publish", title: "Publish", note: "with your grant", span: 6, build };
