// Numbers, ages and instants for people. A value that is not a number or a time is shown unchanged.
import { asText } from "./dom.js";

const whole = new Intl.NumberFormat("en");
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
// Estimates are rounded, so that they do not look exact.
const about = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });

export function full(value) {
  if (value === null || value === undefined) return "unknown";
  return typeof value === "number" ? whole.format(value) : asText(value);
}

export function count(value, estimated = false) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return asText(value);
  return estimated && value ? `≈ ${about.format(value)}` : tenths.format(value);
}

const UNITS = [
  [86_400, "d"],
  [3_600, "h"],
  [60, "min"],
  [1, "s"],
];

// Only the two largest units: 2 h 5 min.
export function age(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 1) return seconds > 0.0005 ? `${Math.round(seconds * 1000)} ms` : "0 s";
  const parts = [];
  let rest = Math.round(seconds);
  for (const [size, unit] of UNITS) {
    const number = Math.floor(rest / size);
    if (number || parts.length) parts.push(number ? `${number} ${unit}` : "");
    rest -= number * size;
    if (parts.length === 2) break;
  }
  return parts.filter(Boolean).join(" ");
}

// The time zone that the user chose in Airflow, else the browser's.
export const zone = (() => {
  try {
    const chosen = JSON.parse(localStorage.getItem("timezone"));
    new Intl.DateTimeFormat("en", { timeZone: chosen ?? undefined });
    return chosen ?? Intl.DateTimeFormat().resolvedOptions().timeZone;
  } catch {
    return Intl.DateTimeFormat().resolvedOptions().timeZone;
  }
})();

const style = (options) => new Intl.DateTimeFormat("en-GB", { timeZone: zone, ...options });
const clock = style({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayAndClock = style({
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const yearToo = style({
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const year = style({ year: "numeric" });
const day = style({ year: "numeric", month: "numeric", day: "numeric" });

// Null if it is not a time.
function parsed(iso) {
  const at = new Date(typeof iso === "string" ? iso : NaN);
  return Number.isNaN(at.getTime()) ? null : at;
}

export function instant(iso, now = new Date()) {
  if (!iso) return "–";
  const at = parsed(iso);
  if (!at) return asText(iso);
  if (day.format(at) === day.format(now)) return clock.format(at);
  return (year.format(at) === year.format(now) ? dayAndClock : yearToo).format(at);
}

// Most slots are at full minutes: leave out ":00" seconds.
export const toTheMinute = (iso) => instant(iso).replace(/:00$/, "");

export function exact(iso) {
  const at = parsed(iso);
  return at ? `${yearToo.format(at)} ${zone}` : "";
}

const parts = style({ year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", hourCycle: "h23" });

// The day and the hour of an instant for the user: {day: "2026-01-31", hour: 9}.
export function local(iso) {
  const found = Object.fromEntries(parts.formatToParts(new Date(iso)).map(({ type, value }) => [type, value]));
  return { day: `${found.year}-${found.month}-${found.day}`, hour: Number(found.hour) };
}

const weekday = new Intl.DateTimeFormat("en-GB", {
  weekday: "short",
  day: "numeric",
  month: "short",
  timeZone: "UTC",
});

// A day such as 2026-01-31 for people.
export const dayText = (text) => weekday.format(new Date(`${text}T00:00:00Z`)).replace(",", "");

export const ago = (iso, now = Date.now()) => {
  const at = parsed(iso);
  if (!at) return "";
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 1) return "just now";
  return seconds >= 0 ? `${age(seconds)} ago` : `in ${age(-seconds)}`;
};

export const plural = (number, one, many = `${one}s`) => `${full(number)} ${number === 1 ? one : many}`;
