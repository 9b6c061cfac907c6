// Numbers, ages and instants for people, in the page's language. A value that is not a number or a time is shown
// unchanged.
import { asText } from "./dom.js";
import { language, t } from "./language.js";

const whole = new Intl.NumberFormat(language);
const tenths = new Intl.NumberFormat(language, { maximumFractionDigits: 1 });
// Estimates are rounded, so that they do not look exact.
const about = new Intl.NumberFormat(language, { maximumSignificantDigits: 3 });

export function full(value) {
  if (value === null || value === undefined) return t("unknown");
  return typeof value === "number" ? whole.format(value) : asText(value);
}

export function count(value, estimated = false) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return asText(value);
  return estimated && value ? `≈ ${about.format(value)}` : tenths.format(value);
}

export const listed = (items) => items.join(t(", "));

const UNITS = [
  [86_400, (number) => t("{number} d", { number })],
  [3_600, (number) => t("{number} h", { number })],
  [60, (number) => t("{number} min", { number })],
  [1, (number) => t("{number} s", { number })],
];

// Only the two largest units: 2 h 5 min.
export function age(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds <= 0.0005) return t("{number} s", { number: 0 });
  if (seconds < 1) return t("{number} ms", { number: Math.round(seconds * 1000) });
  const parts = [];
  let rest = Math.round(seconds);
  for (const [size, unit] of UNITS) {
    const number = Math.floor(rest / size);
    if (number || parts.length) parts.push(number ? unit(number) : "");
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

// English dates have the day first, and 24 hours.
const locale = language === "en" ? "en-GB" : language;
const style = (options) => new Intl.DateTimeFormat(locale, { timeZone: zone, ...options });
const DAY = { day: "numeric", month: "short" };
const MINUTES = { hour: "2-digit", minute: "2-digit" };
// For an instant of today, of this year, and of another year.
const forms = (clock) => [clock, { ...DAY, ...clock }, { year: "numeric", ...DAY, ...clock }].map(style);
const toTheSecond = forms({ ...MINUTES, second: "2-digit" });
const wholeMinutes = forms(MINUTES);
const year = style({ year: "numeric" });
const day = style({ year: "numeric", month: "numeric", day: "numeric" });

// Null if it is not a time.
function parsed(iso) {
  const at = new Date(typeof iso === "string" ? iso : NaN);
  return Number.isNaN(at.getTime()) ? null : at;
}

function shown(iso, formsOf, now = new Date()) {
  if (!iso) return "–";
  const at = parsed(iso);
  if (!at) return asText(iso);
  const [today, thisYear, other] = formsOf(at);
  if (day.format(at) === day.format(now)) return today.format(at);
  return (year.format(at) === year.format(now) ? thisYear : other).format(at);
}

export const instant = (iso) => shown(iso, () => toTheSecond);

// Most slots are at full minutes: leave out ":00" seconds.
export const toTheMinute = (iso) => shown(iso, (at) => (at.getTime() % 60_000 ? toTheSecond : wholeMinutes));

export function exact(iso) {
  const at = parsed(iso);
  return at ? `${toTheSecond[2].format(at)} ${zone}` : "";
}

// Always in the same form, whatever the language is.
const fixed = new Intl.DateTimeFormat("en-GB", {
  timeZone: zone,
  year: "numeric",
  month: "2-digit",
  day: "2-digit",
  hour: "2-digit",
  hourCycle: "h23",
});

// The day and the hour of an instant for the user: {day: "2026-01-31", hour: 9}.
export function local(iso) {
  const found = Object.fromEntries(fixed.formatToParts(new Date(iso)).map(({ type, value }) => [type, value]));
  return { day: `${found.year}-${found.month}-${found.day}`, hour: Number(found.hour) };
}

const onDay = (options) => {
  const form = new Intl.DateTimeFormat(locale, { timeZone: "UTC", ...options });
  return (text) => form.format(new Date(`${text}T00:00:00Z`)).replace(",", "");
};

// A day such as 2026-01-31 for people: with its weekday, without it, and the weekday alone.
export const dayText = onDay({ weekday: "short", ...DAY });
export const dateText = onDay(DAY);
export const weekdayText = onDay({ weekday: "short" });

const ticks = [style(MINUTES), style(DAY)];

// For the axis of a chart: the clock, and the day, of an instant in seconds.
export const clockAndDay = (seconds) => ticks.map((form) => form.format(new Date(seconds * 1000)));

export const ago = (iso, now = Date.now()) => {
  const at = parsed(iso);
  if (!at) return "";
  const seconds = (now - at) / 1000;
  if (Math.abs(seconds) < 1) return t("just now");
  return seconds >= 0 ? t("{age} ago", { age: age(seconds) }) : t("in {age}", { age: age(-seconds) });
};
