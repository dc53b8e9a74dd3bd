// What the forms have in common.

import { el, uniqueId } from "./dom.js";

/** A labelled control. */
export function field(name, control, hint) {
  control.id ||= uniqueId("field");
  const label = el("label", { for: control.id }, name);
  return el("div", { class: "field" }, label, control, hint ?? null);
}

/** What is wrong with a text as JSON, or null. */
export function readJson(text) {
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return error.message;
  }
}

/** Rights in words: null is all. */
export function list(patterns) {
  if (patterns === null || patterns === undefined) return "everything";
  return patterns.length ? patterns.join(", ") : "nothing";
}
