// The chosen building: how sure the map is, in shares of each class, and what is right.

import { attempt } from "./announce.js";
import { make, tell, template } from "./dom.js";
import { swatch } from "./legend.js";
import { number, percent, text, when } from "./text.js";
import { CHOICES, CLASSES, classOf } from "./work.js";

export function showCard(place, work) {
  const { root, parts } = template("card");
  place.append(root);
  const choices = CHOICES.map((name) => choice(work, name));
  parts.classes.append(...choices.map(({ button }) => button));
  parts.back.addEventListener("click", () => attempt(() => work.correct(work.selected, null)));
  parts.remove.addEventListener("click", () => attempt(() => work.erase(work.selected)));

  const show = () => {
    const item = work.asShown(work.selected);
    if (item) work.sees(item);
    place.classList.toggle("empty", !item);
    parts.heading.textContent = item ? titleOf(item) : text("card.none");
    tell(parts.facts, item ? factsOf(item).join(" · ") : null);
    tell(parts.corrected, item?.corrected ? correctedLine(work, item) : null);
    parts.classes.hidden = !item;
    parts.back.hidden = !item?.corrected;
    parts.back.textContent = text(item?.class === null ? "card.takeBack" : "card.back");
    parts.remove.hidden = !item?.drawn;
    for (const each of choices) each.show(item);
  };
  parts.heading.setAttribute("aria-live", "polite");
  for (const kind of ["selected", "blind"]) work.addEventListener(kind, show);
  show();
}

export const titleOf = (item) =>
  text(item.drawn ? "drawn.title" : "building.title", { id: String(item.id) });

function factsOf(item) {
  if (item.drawn) return [text("drawn.by", { name: item.who, when: when(item.when) })];
  const facts = [];
  const known = (name) => typeof item[name] === "number"; // else the map does not say it
  if (known("confidence")) facts.push(text("building.sure", { share: percent(item.confidence) }));
  if (known("area_m2")) facts.push(text("building.area_m2", { area: item.area_m2 }));
  else if (known("area_px")) facts.push(text("building.area_px", { area: item.area_px }));
  if (known("lon")) {
    facts.push(text("building.place", { lat: number(item.lat, 5), lon: number(item.lon, 5) }));
  }
  return facts;
}

function correctedLine(work, item) {
  const [old, now] = [item.class, item.corrected].map((name) => work.labelOf(name));
  if (!item.class) return text("card.checked", { label: now });
  if (item.corrected === item.class) return text("card.right", { label: now });
  return text("card.corrected", { old, new: now });
}

/** The button of a class: its name, the share that the map gives it in figures, and as a bar. */
function choice(work, name) {
  const figure = make("span", { class: "figure quiet" });
  const bar = make("span", { class: "bar-in" });
  const around = make("span", { class: "bar-of" }, bar);
  bar.style.backgroundColor = work.colourOf(name);
  const button = make(
    "button",
    { class: "class", onclick: () => attempt(() => work.correct(work.selected, name)) },
    swatch(work, name),
    make("span", { class: "class-name", text: work.labelOf(name) }),
    around,
    figure,
  );
  const show = (item) => {
    const share = item?.shares?.[name];
    around.hidden = share === undefined;
    figure.textContent = share === undefined ? "" : percent(share);
    bar.style.width = `${100 * (share ?? 0)}%`;
    button.setAttribute("aria-pressed", String(Boolean(item) && classOf(item) === name));
    button.hidden = Boolean(item?.drawn) && !CLASSES.includes(name); // that one is deleted
  };
  return { button, show };
}
