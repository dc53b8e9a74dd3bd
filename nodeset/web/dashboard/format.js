// Numbers as people read them, with their units; what is not known is a dash.

export const UNKNOWN = "–";
const whole = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 0 });
const one = new Intl.NumberFormat("en-GB", { maximumFractionDigits: 1 });
const clockTime = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const fullTime = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

export const isKnown = (value) => typeof value === "number" && Number.isFinite(value);

/** A count: 0, 12, 4,096, 1.2 M. */
export function count(value) {
  if (!isKnown(value)) return UNKNOWN;
  if (Math.abs(value) >= 1e9) return `${one.format(value / 1e9)} G`;
  if (Math.abs(value) >= 1e6) return `${one.format(value / 1e6)} M`;
  return whole.format(value);
}

/** A rate without its unit: 0, 0.4, 12, 3,120, 48.2 k. */
export function rate(value) {
  if (!isKnown(value)) return UNKNOWN;
  if (value >= 1e6) return `${one.format(value / 1e6)} M`;
  if (value >= 1e5) return `${one.format(value / 1e3)} k`;
  return value > 0 && value < 9.95 ? one.format(Math.max(value, 0.1)) : whole.format(value);
}

/** A span of time that is measured: [number, unit], in µs, ms or s. */
export function spanParts(seconds) {
  if (!isKnown(seconds)) return [UNKNOWN, ""];
  if (seconds < 0.001) return [whole.format(seconds * 1e6), "µs"];
  if (seconds < 0.00995) return [(seconds * 1e3).toFixed(1), "ms"];
  if (seconds < 1) return [whole.format(seconds * 1e3), "ms"];
  return [seconds < 9.95 ? seconds.toFixed(1) : whole.format(seconds), "s"];
}

export const span = (seconds) => spanParts(seconds).join(" ").trim();

/** [number, unit] of a size in bytes. */
export function sizeParts(bytes) {
  if (!isKnown(bytes)) return [UNKNOWN, ""];
  const units = ["B", "KiB", "MiB", "GiB"];
  let step = 0;
  while (Math.abs(bytes) >= 1024 && step < units.length - 1) [bytes, step] = [bytes / 1024, step + 1];
  return [bytes >= 100 || step === 0 ? whole.format(bytes) : one.format(bytes), units[step]];
}

export const size = (bytes) => sizeParts(bytes).join(" ").trim();

/** How long something has been so: 12 s, 4 min, 3 h, 2 d. */
export function age(seconds) {
  if (!isKnown(seconds)) return UNKNOWN;
  const spent = Math.max(0, seconds);
  if (spent < 100) return `${Math.floor(spent)} s`;
  if (spent < 6000) return `${Math.floor(spent / 60)} min`;
  return spent < 172800 ? `${Math.floor(spent / 3600)} h` : `${Math.floor(spent / 86400)} d`;
}

/** The time of day of a Unix time. */
export const clock = (unix) => (isKnown(unix) ? clockTime.format(unix * 1000) : UNKNOWN);

/** The same with milliseconds, for the tail. */
export function clockMillis(unix) {
  if (!isKnown(unix)) return UNKNOWN;
  return `${clock(unix)}.${String(Math.floor((unix % 1) * 1000)).padStart(3, "0")}`;
}

/** Day and time. */
export const moment = (unix) => (isKnown(unix) ? fullTime.format(unix * 1000) : UNKNOWN);

/** `1 node`, `2 nodes`. */
export const many = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;

/** Text cut to a length with a sign that it was. */
export const shorten = (text, most) => (text.length > most ? `${text.slice(0, Math.max(1, most - 1))}…` : text);

/** The latest known value of one field of the samples. */
export function latest(history, field) {
  for (let place = history.length - 1; place >= Math.max(0, history.length - 5); place -= 1) {
    if (isKnown(history[place][field])) return history[place][field];
  }
  return null;
}
