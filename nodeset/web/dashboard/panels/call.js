// Call a node's method, for who came with a grant.

import { Problem, ask } from "../bridge.js";
import { el, keyed, mark, say, uniqueId } from "../dom.js";
import { shorten, span } from "../format.js";
import { field, list, readJson } from "../forms.js";

const MOST_TEXT = 50_000;

function build(body) {
  const [nodes, methods] = [el("datalist", { id: uniqueId("nodes") }), el("datalist", { id: uniqueId("methods") })];
  const plain = { class: "mono", required: true, autocomplete: "off", spellcheck: "false" };
  const node = el("input", { ...plain, list: nodes.id, placeholder: "pricing" });
  const method = el("input", { ...plain, list: methods.id, placeholder: "quote" });
  const args = el("textarea", { class: "mono", rows: "2", spellcheck: "false" }, "[]");
  const kwargs = el("textarea", { class: "mono", rows: "2", spellcheck: "false" }, "{}");
  const send = el("button", { type: "submit", class: "button" }, "Call");
  const said = el("p", { class: "said", role: "status" });
  const result = el("pre", { class: "result", tabindex: "0", "aria-label": "Result", role: "region", hidden: true });
  const rights = el("p", { class: "muted aside" });
  body.append(el("form", { class: "form", onsubmit: submit }, nodes, methods,
    el("div", { class: "pair" }, field("Node", node), field("Method", method)),
    el("div", { class: "pair" }, field("Arguments, a JSON list", args), field("Named arguments, a JSON object", kwargs)),
    rights, el("div", { class: "row" }, send, said), result));

  async function submit(event) {
    event.preventDefault();
    for (const [control, what] of [[args, "The arguments are"], [kwargs, "The named arguments are"]]) {
      const wrong = readJson(control.value);
      if (wrong) return tell(`${what} no JSON: ${wrong}`, "bad");
    }
    send.disabled = true;
    result.hidden = true;
    tell("Calling …", "");
    const start = performance.now();
    try {
      const { value, text } = await ask("POST", `v1/calls/${encodeURIComponent(node.value.trim())}/${encodeURIComponent(method.value.trim())}`,
        { json: `{"args":${args.value},"kwargs":${kwargs.value}}` });
      tell(`Returned after ${span((performance.now() - start) / 1000)}.`, "ok");
      // A stream of items comes as a line for each, which is shown as it is.
      const shown = value === null ? text : JSON.stringify(value.result, null, 2);
      say(result, shorten(shown ?? "nothing", MOST_TEXT));
      result.hidden = false;
    } catch (error) {
      tell(error instanceof Problem ? error.message : `${error.message}: whether the method ran is not known.`, "bad");
    } finally {
      send.disabled = false;
    }
  }

  function tell(text, tone) {
    say(said, text);
    mark(said, "data-tone", tone);
  }

  return {
    isShown: ({ who }) => who?.forms === true,
    update({ who, now }) {
      say(rights, `Your grant calls ${list(who.call)}.`);
      const known = (now?.nodes ?? []).filter((each) => each.methods?.length);
      const option = (name) => el("option", { value: name });
      keyed(nodes, known.map((each) => each.name), (name) => name, option, () => {});
      const chosen = known.find((each) => each.name === node.value.trim());
      keyed(methods, chosen?.methods ?? [], (name) => name, option, () => {});
    },
  };
}

export default { id: "call", title: "Call", note: "a method of a node, with your grant", span: 6, build };
