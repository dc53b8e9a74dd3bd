// Where everything of the drawing stands: data in, places out, nothing drawn.

const FEW = 12; // Up to so many nodes each has its own box.
const ALIKE = 3; // More nodes than that: those alike, so many at least, share a box.
const WORST = ["up", "slow", "suspect"];

/** Boxes of nodes: [{key, label, nodes, patterns, published, delivered, state}]; of many nodes those alike share one. */
export function group(nodes, roleOf) {
  const wanted = nodes.filter(roleOf);
  const groups = new Map();
  for (const node of wanted) {
    const stem = node.name.replace(/[-_.]?[0-9a-f]*\d[0-9a-f]*$/i, "");
    const key = nodes.length > FEW ? JSON.stringify([stem, [...node.subscriptions].sort()]) : node.name;
    if (!groups.has(key)) groups.set(key, { stem, nodes: [] });
    groups.get(key).nodes.push(node);
  }
  const boxes = [];
  for (const [key, { stem, nodes: alike }] of groups) {
    const names = new Set(alike.map((each) => each.name));
    if (names.size === 1) boxes.push(box(key, alike.length > 1 ? `${alike[0].name} ×${alike.length}` : alike[0].name, alike));
    else if (alike.length >= ALIKE) boxes.push(box(key, `${stem || "node"} ×${alike.length}`, alike));
    else for (const node of alike) boxes.push(box(JSON.stringify([key, node.name]), node.name, [node]));
  }
  return boxes;
}

function box(key, label, nodes) {
  const sum = (field) => nodes.reduce((all, each) => all + (each[field] ?? 0), 0);
  return {
    key,
    label,
    nodes,
    patterns: [...new Set(nodes.flatMap((each) => each.subscriptions))],
    published: sum("published"),
    delivered: sum("delivered"),
    state: WORST[Math.max(...nodes.map((each) => Math.max(0, WORST.indexOf(each.state))))],
    is_away: nodes.every((each) => each.away),
  };
}

/** The nodes that a text finds by their names, whole; of those that it finds by a pattern only what belongs to that. */
export function narrow(nodes, text) {
  const has = (name) => name.toLowerCase().includes(text);
  return nodes.flatMap((node) => {
    if (has(node.name)) return [node];
    const subscriptions = node.subscriptions.filter(has);
    return subscriptions.length ? [{ ...node, subscriptions, published: 0 }] : [];
  });
}

/**
 * The columns of the drawing.
 *
 * {publishers, patterns, subscribers, links, more}: lists of boxes in an order with few crossings, `links` pairs of a pattern
 * with the key of a subscriber; of each column `most` at the most, `more` tells how many were left out of each.
 */
export function plan(nodes, most) {
  const publishers = group(nodes, (node) => node.published > 0.01);
  const subscribers = group(nodes, (node) => node.subscriptions.length > 0);
  const counts = new Map();
  for (const each of subscribers) {
    for (const pattern of each.patterns) counts.set(pattern, (counts.get(pattern) ?? 0) + each.nodes.length);
  }
  const patterns = [...counts].map(([name, nodes_of]) => ({ key: name, label: name, nodes: nodes_of }));
  publishers.sort((one, other) => other.published - one.published || byKey(one, other));
  patterns.sort((one, other) => other.nodes - one.nodes || byKey(one, other));
  const shown = { publishers: publishers.slice(0, most), patterns: patterns.slice(0, most) };
  const wanted = new Set(shown.patterns.map((each) => each.key));
  // Those first that have most to do with the patterns that are shown.
  const weight = new Map(subscribers.map((each) => [each, each.patterns.filter((name) => wanted.has(name)).length * each.nodes.length]));
  subscribers.sort((one, other) => weight.get(other) - weight.get(one) || byKey(one, other));
  shown.subscribers = subscribers.slice(0, most);
  const more = Object.fromEntries(Object.entries({ publishers, patterns, subscribers }).map(([name, all]) => [name, Math.max(0, all.length - most)]));
  const links = shown.subscribers.flatMap((each) => each.patterns.filter((name) => wanted.has(name)).map((name) => [name, each.key]));
  shown.patterns.sort(byKey);
  for (let turn = 0; turn < 3; turn += 1) {
    settle(shown.subscribers, shown.patterns, links.map(([name, key]) => [key, name]));
    settle(shown.patterns, shown.subscribers, links);
  }
  return { ...shown, links, more };
}

const byKey = (one, other) => (one.key < other.key ? -1 : one.key > other.key ? 1 : 0);

// Each as near to those that it is linked with as the others let it: the barycentre rule of layered drawings.
function settle(column, fixed, links) {
  const places = new Map(fixed.map((each, place) => [each.key, place]));
  const sums = new Map();
  for (const [mine, other] of links) {
    const [sum, number] = sums.get(mine) ?? [0, 0];
    sums.set(mine, [sum + places.get(other), number + 1]);
  }
  const middle = (each) => (sums.has(each.key) ? sums.get(each.key)[0] / sums.get(each.key)[1] : fixed.length / 2);
  column.sort((one, other) => middle(one) - middle(other) || byKey(one, other));
}

/** What makes a drawing another: rates change every second, this does not. */
export function signature({ publishers, patterns, subscribers, more }) {
  return JSON.stringify([
    publishers.map((each) => [each.key, each.label]),
    patterns.map((each) => each.key),
    subscribers.map((each) => [each.key, each.label, each.patterns]),
    more,
  ]);
}
