// Requests to the bridge that serves this page, in the name of whoever's grant was pasted.

const KEY = "nodeset.grant";
const PATIENCE = 35_000; // Milliseconds: the bridge itself ends a request after 30 s.
let held = null; // Where storage is forbidden, the grant lives as long as the page.

/** What the bridge said no with: `status`, `title`, `detail` as in RFC 9457; `members` is the whole body. */
export class Problem extends Error {
  constructor(status, members) {
    super(members.detail || members.title || `HTTP ${status}`);
    this.status = status;
    this.members = members;
  }
}

/** Nobody answered: the bridge is not there, or did not answer in time. */
export class Unreachable extends Error {}

/** The grant's token, or null. It is in this tab's session storage alone, so it goes when the tab is closed. */
export function readGrant() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return held;
  }
}

export function keepGrant(token) {
  held = token;
  try {
    if (token === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, token);
  } catch {
    // `held` has it.
  }
}

/** A path of the bridge as an address; relative, so that the page may stand below a prefix of a proxy. */
export function address(path, query = {}) {
  const url = new URL(path, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined) url.searchParams.set(name, value);
  }
  return url;
}

/** Ask, with the grant if there is one; gives {status, text, value}, value null if it is no JSON; throws Problem or Unreachable. */
export async function ask(method, path, { json, headers = {}, query } = {}) {
  const wanted = { Accept: "application/json", ...headers };
  const token = readGrant();
  if (token !== null) wanted.Authorization = `Bearer ${token}`;
  if (json !== undefined) wanted["Content-Type"] = "application/json";
  let answer, text;
  try {
    answer = await fetch(address(path, query), {
      method,
      headers: wanted,
      body: json,
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(PATIENCE),
    });
    text = await answer.text();
  } catch (error) {
    throw new Unreachable(error.name === "TimeoutError" ? "nodeset-web did not answer in time" : "nodeset-web does not answer");
  }
  const value = parse(text);
  if (!answer.ok) {
    const members = value !== null && typeof value === "object" ? value : { title: answer.statusText };
    throw new Problem(answer.status, members);
  }
  return { status: answer.status, text, value };
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** A ticket for the stream at `path` alone: an EventSource can send no header. Null without a grant, where none is needed. */
export async function buyTicket(path) {
  if (readGrant() === null) return null;
  // As the bridge sees the path, whatever prefix a proxy puts before it.
  const wanted = { path: new URL(path, "http://bridge/").pathname };
  return (await ask("POST", "v1/tickets", { json: JSON.stringify(wanted) })).value.ticket;
}
