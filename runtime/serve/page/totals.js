// Buildings by class as mapped, as corrected, and as estimated where a sample was checked.

import { holesOf } from "./scene.js";
import { make, tell } from "./dom.js";
import { swatch } from "./legend.js";
import { number, percent, text } from "./text.js";
import { CLASSES } from "./work.js";

export function showTotals(parts, work) {
  const show = () => {
    const { mapped, corrected, corrections, estimate, summary } = work.summary;
    const missing = holesOf(summary);
    const hole = missing > 0 ? [note(text("totals.hole", { share: percent(missing) }))] : [];
    parts.hole.replaceChildren(...hole);
    parts.figures.hidden = work.blind; // they change with each answer, and tell if it was the map's
    parts.notes.replaceChildren(...notesOf(work.job, summary));
    parts.counted.textContent = text("totals.counted", { count: corrections });
    const titles = ["totals.class", "totals.mapped", "totals.corrected"];
    if (estimate) titles.push("totals.estimate");
    parts.head.replaceChildren(
      ...titles.map((key) => make("th", { scope: "col", text: text(key) })),
    );
    const others = [...Object.keys(mapped), ...Object.keys(corrected)].filter(
      (name) => !CLASSES.includes(name) && (mapped[name] || corrected[name]),
    );
    const names = [...CLASSES, ...new Set(others)]; // with those that have no grade
    parts.rows.replaceChildren(
      ...names.map((name) => row(work, name)),
      make(
        "tr",
        { class: "sum" },
        make("th", { scope: "row", text: text("totals.all") }),
        ...[mapped, corrected].map((counts) => cell(number(sum(counts)))),
        ...(estimate ? [cell("")] : []),
      ),
    );
    tell(parts.method, estimate ? methodOf(estimate, corrections) : null);
  };
  for (const kind of ["totals", "blind"]) work.addEventListener(kind, show);
  show();
}

const sum = (counts) => Object.values(counts).reduce((total, count) => total + count, 0);

const cell = (line) => make("td", { text: line });

function row(work, name) {
  const { mapped, corrected, estimate } = work.summary;
  const title = make("th", { scope: "row" }, swatch(work, name), make("span", { text: work.labelOf(name) }));
  const cells = [cell(number(mapped[name] ?? 0)), cell(number(corrected[name] ?? 0))];
  if ((corrected[name] ?? 0) !== (mapped[name] ?? 0)) cells[1].className = "changed";
  if (estimate) cells.push(estimated(estimate.classes[name]));
  return make("tr", {}, title, ...cells);
}

function estimated(figures) {
  if (!figures) return cell("");
  const { estimate, low, high } = figures;
  return make(
    "td",
    {},
    make("span", { text: number(estimate) }),
    make("span", { class: "interval", text: text("totals.interval", { low: number(low), high: number(high) }) }),
  );
}

function methodOf(estimate, corrections) {
  const { level, method, checked, date } = estimate;
  const lines = [text("totals.method", { count: checked, level: percent(level), method, date })];
  const notBlind = checked - (estimate.checked_blind ?? checked);
  if (notBlind > 0) lines.push(text("totals.notBlind", { count: notBlind }));
  const later = corrections - estimate.corrections;
  if (later > 0) lines.push(text("totals.later", { count: later }));
  return lines.join(" ");
}

export const note = (line) => make("p", { class: "note", text: line });

/** All that the map says of itself. */
function notesOf(job, summary) {
  const lines = [...new Set([...job.notes, ...(summary.notes ?? [])])];
  const failed = summary.failed_tiles?.length ?? 0;
  if (failed) lines.unshift(text("totals.failed", { count: failed }));
  return lines.map(note);
}
