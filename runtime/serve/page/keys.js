// One key for each thing that is done a hundred times; they can be switched off.

import { attempt } from "./announce.js";
import { openDialog } from "./dialog.js";
import { make, template } from "./dom.js";
import { recall, remember } from "./storage.js";
import { text } from "./text.js";
import { CHOICES, CLASSES, signOf } from "./work.js";

const ENABLED = "keys";

/** What each key does, in the order of the help. */
const HELP = [
  [["n", "↓"], "key.next"],
  [["p", "↑"], "key.previous"],
  [["1", "2", "3", "4"], "key.class"],
  [["0"], "key.none"],
  [["u"], "key.undo"],
  [["b"], "key.blink"],
  [["c"], "key.compare"],
  [["d"], "key.draw"],
  [[" "], "key.corner"],
  [["Enter"], "key.finish"],
  [["Escape"], "key.stop"],
  [["?"], "key.help"],
];

/** Listen until the function that is returned is called. */
export function listenToKeys({ work, list, drawing, swipe, undo }) {
  const choose = (name) => () => {
    const allowed = work.selected && (!work.selected.drawn || CLASSES.includes(name));
    if (allowed) attempt(() => work.correct(work.selected, name));
  };
  const always = {
    n: () => list.walk(1),
    p: () => list.walk(-1),
    u: undo,
    b: () => swipe.blink(),
    c: () => swipe.compare(),
    d: () => drawing.begin({ byKeys: true }),
    "?": openHelp,
  };
  for (const name of CHOICES) always[String(signOf(name))] = choose(name);
  const whileDrawing = {
    " ": () => drawing.cornerInMiddle(),
    Enter: () => drawing.finish(),
    Backspace: () => drawing.back(),
    Escape: () => drawing.end(),
  };

  const pressed = (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const { target, key } = event;
    if (document.querySelector("dialog[open]") || target.matches("input, select, textarea")) return;
    const onMap = target.closest(".map") || target === document.body;
    const inList = target.closest(".list") && { ArrowDown: always.n, ArrowUp: always.p }[key];
    let action = inList;
    if (work.drawing && (onMap || key === "Escape")) action ??= whileDrawing[key];
    else if (recall(ENABLED, true)) action ??= always[key];
    if (!action) return;
    event.preventDefault();
    action();
  };
  document.addEventListener("keydown", pressed);
  return () => document.removeEventListener("keydown", pressed);
}

/** As it stands on the key. */
const nameOf = (key) =>
  ({ " ": text("keyname.space"), Enter: text("keyname.enter"), Escape: text("keyname.escape") })[key] ??
  key;

export async function openHelp() {
  const { root, parts } = template("help-dialog");
  parts.enabled.checked = recall(ENABLED, true);
  for (const [keys, line] of HELP) {
    parts.keys.append(
      make("dt", {}, ...keys.map((key) => make("kbd", { text: nameOf(key) }))),
      make("dd", { text: text(line) }),
    );
  }
  parts.enabled.addEventListener("change", () => remember(ENABLED, parts.enabled.checked));
  await openDialog(root);
}
