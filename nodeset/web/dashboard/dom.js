// Elements: text gets in as text nodes alone, so nothing from the network is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An element; attributes whose name begins with "on" are listeners, children that are strings become text. */
export function el(tag, attributes = {}, ...children) {
  return furnish(document.createElement(tag), attributes, children);
}

/** The same for what is drawn. */
export function svg(tag, attributes = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), attributes, children);
}

function furnish(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Change a text only when it is another: an unchanged one costs no layout, nor is it read out again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The same for an attribute; null takes it away. */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Make the children of `parent` those for `items`, each made once by its key, moved only where the order changed. */
export function keyed(parent, items, keyOf, make, update) {
  const kept = (parent.keyed ??= new Map());
  const wanted = new Set();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    if (wanted.has(key)) continue;
    wanted.add(key);
    let child = kept.get(key);
    if (!child) kept.set(key, (child = make(item)));
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const [key, child] of kept) {
    if (wanted.has(key)) continue;
    child.remove();
    kept.delete(key);
  }
}

/** What to show where there is nothing yet: one sentence, in place of an empty box. */
export function empty(title, text) {
  return el("div", { class: "empty" }, el("strong", {}, title), el("span", {}, text));
}

let serial = 0;
/** An id that no other element of the page has. */
export function uniqueId(stem) {
  serial += 1;
  return `${stem}-${serial}`;
}
