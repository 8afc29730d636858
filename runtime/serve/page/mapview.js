// The view of a finished map: picture, panel and keys put together.

import { announce, attempt } from "./announce.js";
import { showCard } from "./card.js";
import { template } from "./dom.js";
import { Drawing } from "./draw.js";
import { showFiles } from "./files.js";
import { listenToKeys, openHelp } from "./keys.js";
import { showLayers } from "./layers.js";
import { showLegend } from "./legend.js";
import { BuildingList } from "./list.js";
import { Outlines } from "./outlines.js";
import { SampleCheck } from "./sample.js";
import { Scene } from "./scene.js";
import { Swipe } from "./swipe.js";
import { showTabs } from "./tabs.js";
import { text } from "./text.js";
import { showTotals } from "./totals.js";
import { askWho, who } from "./who.js";
import { Work } from "./work.js";

/** Fill the place; returns what ends it. */
export function showMap(place, job, sceneFacts, summary, drawn) {
  const { root, parts } = template("job");
  const work = new Work(job, sceneFacts, summary, drawn);
  parts.name.textContent = job.name;
  const pages = showTabs(parts, ["buildings", "totals", "layers", "files"]);
  place.replaceChildren(root);

  const scene = new Scene(parts, work);
  const swipe = new Swipe(parts.divider, scene);
  const outlines = new Outlines(parts, work, scene);
  const drawing = new Drawing(parts, work, scene);
  const buildings = pages.buildings;
  const list = new BuildingList(buildings, work);
  showCard(buildings.card, work);
  showTotals(pages.totals, work);
  new SampleCheck(pages.totals.sample, work, scene);
  showLayers(pages.layers, scene, swipe, outlines);
  showFiles(pages.files, work);
  showLegend(parts, work, scene);

  const undo = async () => {
    if (await attempt(() => work.undo())) announce(text("undone"));
  };
  buildings.draw.addEventListener("click", () => drawing.begin());
  buildings.undo.addEventListener("click", undo);
  work.addEventListener("steps", () => (buildings.undo.disabled = work.steps.length === 0));
  work.addEventListener("selected", ({ detail }) => detail.move && scene.show(work.selected.ring));

  const sayWho = () => {
    parts.who.textContent = who() || text("who.set");
    if (who()) parts.who.setAttribute("aria-label", text("who.is", { name: who() }));
  };
  parts.who.addEventListener("click", async () => {
    await askWho({ again: true });
    sayWho();
  });
  work.addEventListener("totals", sayWho);
  sayWho();
  parts.help.addEventListener("click", openHelp);

  const silence = listenToKeys({ work, list, drawing, swipe, undo });
  return () => {
    silence();
    scene.leave();
  };
}
