// What the colours on the map stand for, as the server names them.

import { inkOn, make, tell } from "./dom.js";
import { holeEntry } from "./holes.js";
import { className, text } from "./text.js";
import { CLASSES, signOf } from "./work.js";

/** A small field in the colour of a class, with its number. */
export function swatch(work, name) {
  const colour = work.colourOf(name);
  const field = make("span", { class: "swatch", text: String(signOf(name)), "aria-hidden": "true" });
  field.style.backgroundColor = colour;
  field.style.color = inkOn(colour);
  return field;
}

export function showLegend(parts, work, scene) {
  const hole = holeEntry(work.scene.legend);
  parts.legend.open = matchMedia("(min-width: 800px)").matches;
  parts.classes.append(
    ...CLASSES.map((name) =>
      make("li", {}, swatch(work, name), make("span", { text: work.labelOf(name) })),
    ),
    make(
      "li",
      {},
      make("span", { class: "swatch hatched", "aria-hidden": "true" }),
      make("span", { text: className("not-computed", hole?.label) }),
    ),
  );
  const hidden = make("li", {}, swatch(work, null), make("span", { text: work.labelOf(null) }));
  parts.classes.append(hidden);
  const explain = () => {
    const explained = ["confidence", "quality"].includes(scene.over);
    tell(parts.explained, explained ? text(`legend.${scene.over}`) : null);
    hidden.hidden = !work.blind;
    tell(parts.far, scene.far ? text("legend.far") : null);
  };
  scene.onArranged(explain);
  scene.map.on("zoomend", explain);
  explain();
}
