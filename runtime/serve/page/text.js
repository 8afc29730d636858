// All words of the page, from text.LANGUAGE.json, and numbers and dates as the reader writes them.

const LANGUAGES = ["en"];

let words = {};
let language = LANGUAGES[0];

export async function loadText() {
  const wanted = navigator.languages.map((each) => each.split("-")[0]);
  language = wanted.find((each) => LANGUAGES.includes(each)) ?? LANGUAGES[0];
  words = await (await fetch(`/static/text.${language}.json`)).json();
  document.documentElement.lang = language;
}

/** The text of a key. `{name}` in it is replaced; of several forms, that for `values.count`. */
export function text(key, values = {}) {
  let line = words[key];
  if (line === undefined) throw new Error(`text.${language}.json: ${key}`);
  if (typeof line === "object") {
    line = line[new Intl.PluralRules(language).select(values.count)] ?? line.other;
  }
  return line.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? number(value) : String(value);
  });
}

/** The name of a damage class; what the server calls it where no text does. */
export function className(damageClass, otherwise = damageClass) {
  return words[`class.${damageClass}`] ?? otherwise;
}

/** Put the words into what was cloned from index.html: texts, labels and placeholders. */
export function fill(root) {
  for (const element of root.querySelectorAll("[data-text]")) {
    element.textContent = text(element.dataset.text);
  }
  for (const element of root.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", text(element.dataset.label));
  }
}

// What a reader set apart from the language of the words: 1.234,5 or 1,234.5.
const writing = () => navigator.language || language;

export function number(value, digits = 0) {
  return new Intl.NumberFormat(writing(), { maximumFractionDigits: digits }).format(value);
}

/** A share of 0 to 1 in percent. What is not nothing never reads as 0, nor what is not all as 100. */
export function percent(share) {
  const whole = Math.round(share * 100);
  const rounded = (share > 0 && whole === 0) || (share < 1 && whole === 100);
  return new Intl.NumberFormat(writing(), {
    style: "percent",
    maximumFractionDigits: rounded ? 2 : 0,
  }).format(share);
}

export function when(iso) {
  return new Intl.DateTimeFormat(writing(), { dateStyle: "medium", timeStyle: "short" }).format(
    new Date(iso),
  );
}

export function bytes(count) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let at = 0;
  while (count >= 1000 && at < units.length - 1) {
    count /= 1000;
    at += 1;
  }
  return new Intl.NumberFormat(writing(), {
    style: "unit",
    unit: units[at],
    unitDisplay: "short",
    maximumFractionDigits: count < 10 && at > 0 ? 1 : 0,
  }).format(count);
}
