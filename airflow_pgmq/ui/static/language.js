// The page is in the language that the user chose in Airflow. The English texts in the code are the keys of the
// catalogues in languages/; what a catalogue lacks is shown in English.
import { asText } from "./dom.js";
import { framed } from "./host.js";
import english from "./languages/en.js";

const KNOWN = ["en", "de", "es", "fr", "ja", "zh-CN"];

// Where Airflow keeps the choice; before there is one, it takes the browser's language.
function chosen() {
  try {
    return localStorage.getItem("i18nextLng") ?? navigator.language;
  } catch {
    return navigator.language;
  }
}

// The catalogue for a language. As in Airflow itself, another script is another language: zh-TW is not zh-CN.
export function best(wanted) {
  try {
    const same = new Intl.Locale(wanted).maximize();
    const fits = ({ language, script }) => language === same.language && script === same.script;
    return KNOWN.find((each) => fits(new Intl.Locale(each).maximize())) ?? "en";
  } catch {
    return "en";
  }
}

const load = (name) =>
  import(`./languages/${name}.js`).then(
    (module) => module.default,
    () => null,
  );

const wanted = best(chosen());
const catalogue = wanted === "en" ? english : await load(wanted);

// Of all texts, dates and numbers.
export const language = catalogue ? wanted : "en";

document.documentElement.lang = language;
// No catalogue is of a language that is written from right to left.
document.documentElement.dir = "ltr";

const numbers = new Intl.NumberFormat(language);
const plurals = new Intl.PluralRules(language);
const englishPlurals = new Intl.PluralRules("en");

// An entry of a catalogue is a text, or one for each plural of the language, and then `count` says which.
const form = (entry, rules, count) => (typeof entry === "string" ? entry : entry?.[rules.select(count)]);

const found = (text, count) =>
  form(catalogue?.[text], plurals, count) ?? form(english[text], englishPlurals, count) ?? text;

// A text, in pieces for h(): a value for each {name} in it, which may be an element. Numbers are written as the
// language does; an id or a version is no number, so give it as text.
export const rich = (text, values = {}) =>
  found(text, values.count)
    .split(/\{(\w+)\}/)
    .map((piece, index) => (index % 2 ? written(values[piece]) : piece));

const written = (value) => (typeof value === "number" ? numbers.format(value) : value);

// The same as one text.
export const t = (text, values) => rich(text, values).map(asText).join("");

// A text of the server, which says of what it was made: `sentence` of core/wording.py; `plain`: it does not.
export const told = (said, plain) => (said ? t(said.template, said.values) : plain);

// A choice in Airflow's menu takes effect at once, but after a dialog is closed, because it may have a form.
function follow() {
  if (best(chosen()) === wanted) return;
  if (document.querySelector("dialog[open]"))
    document.addEventListener("close", follow, { capture: true, once: true });
  else location.reload();
}

// Airflow stores the choice first, and then says it in its own page.
if (framed)
  new MutationObserver(follow).observe(parent.document.documentElement, {
    attributes: true,
    attributeFilter: ["lang"],
  });
else window.addEventListener("storage", ({ key }) => key === "i18nextLng" && follow());
