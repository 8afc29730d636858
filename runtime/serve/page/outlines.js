// Buildings as vectors: those of the view, a bounded number of them, and all that were drawn.

import { attempt } from "./announce.js";
import { get, jobPath } from "./api.js";
import { make, settled, tell } from "./dom.js";
import { holesOf } from "./scene.js";
import { percent, text } from "./text.js";
import { classOf, sameItem, signOf } from "./work.js";

const L = window.L;

const PAGE = 500;
const MOST = 1500;
const MOST_SIGNS = 250;
const SIGN_FROM = 18; // pixels of the screen that a building is wide before it bears a sign

/** Colour is not the only sign of a class: lines differ in weight and dashes, too. */
const LINES = {
  "no-damage": { weight: 1.5 },
  "minor-damage": { weight: 2.5, dashArray: "8 4" },
  "major-damage": { weight: 3, dashArray: "3 4" },
  destroyed: { weight: 3.5 },
  hidden: { weight: 2.5 },
  "not-a-building": { weight: 1.5, dashArray: "1 5" },
};

export class Outlines {
  constructor(parts, work, scene) {
    this.parts = parts;
    this.work = work;
    this.scene = scene;
    this.visible = true;
    this.buildings = [];
    this.canvas = L.canvas({ padding: 0.2, tolerance: 6 });
    this.group = L.layerGroup().addTo(scene.map);
    this.signs = L.layerGroup().addTo(scene.map);
    this.mark = L.layerGroup().addTo(scene.map);
    const load = settled(150, () => this.load());
    scene.map.on("moveend", load);
    work.addEventListener("changed", ({ detail }) => this.#replace(detail));
    for (const kind of ["drawn", "blind"]) work.addEventListener(kind, () => this.draw());
    work.addEventListener("selected", () => this.#markSelected());
    this.load();
    const missing = holesOf(work.summary.summary);
    tell(parts.hole, missing > 0 ? text("map.hole", { share: percent(missing) }) : null);
  }

  show(visible) {
    this.visible = visible;
    this.load();
  }

  async load() {
    this.asked?.abort();
    if (!this.visible) {
      this.buildings = [];
      tell(this.parts.notice, null);
      return this.draw();
    }
    this.asked = new AbortController();
    const found = await attempt(() => this.#ofView(this.asked.signal));
    if (!found) return undefined;
    this.buildings = found.buildings;
    const line = { shown: found.buildings.length, count: found.total };
    tell(this.parts.notice, found.total > line.shown ? text("map.notAll", line) : null);
    return this.draw();
  }

  async #ofView(signal) {
    const view = this.scene.map.getBounds();
    const query = new URLSearchParams({
      sort: "confidence",
      limit: String(PAGE),
      min_x: String(view.getWest()),
      max_x: String(view.getEast()),
      min_y: String(view.getSouth()), // y goes down: the least is at the top
      max_y: String(view.getNorth()),
    });
    const buildings = [];
    let total = 0;
    do {
      query.set("offset", String(buildings.length));
      const page = await get(jobPath(this.work.job.id, `/buildings?${query}`), signal);
      buildings.push(...page.buildings);
      total = page.buildings.length ? page.total : buildings.length;
    } while (buildings.length < Math.min(total, MOST));
    return { buildings, total };
  }

  draw() {
    this.group.clearLayers();
    this.signs.clearLayers();
    const given = this.visible ? [...this.buildings, ...this.work.drawn] : [];
    const items = given.map((item) => this.work.asShown(item));
    for (const item of items) this.work.sees(item);
    const corners = (item) => item.ring.map(([x, y]) => [y, x]);
    const casing = items.map((item) => [...corners(item), corners(item)[0]]);
    const plain = { renderer: this.canvas, interactive: false, noClip: true };
    const thin = Math.min(1, Math.max(0.3, this.#scale())); // where a whole town is in view
    L.polyline(casing, { ...plain, color: "#000", opacity: 0.55, weight: 5 * thin }).addTo(this.group);
    for (const [at, item] of items.entries()) {
      const damageClass = classOf(item);
      const colour = this.work.colourOf(damageClass);
      const line = LINES[damageClass ?? "hidden"] ?? LINES["not-a-building"];
      L.polygon(corners(item), {
        renderer: this.canvas,
        color: colour,
        fillColor: colour,
        fillOpacity: 0.08,
        ...line,
        weight: line.weight * thin,
        dashArray: thin < 0.8 ? null : line.dashArray,
      })
        .on("click", () => this.work.drawing || this.work.select(given[at], { seen: true }))
        .addTo(this.group);
    }
    this.#sign(items);
    this.#markSelected();
  }

  /** Pixels of the screen for one of the map. */
  #scale() {
    return 2 ** (this.scene.map.getZoom() - this.scene.whole);
  }

  /** The number of its class on each building that is large enough on the screen. */
  #sign(items) {
    const scale = this.#scale();
    const view = this.scene.map.getBounds();
    const signed = items.filter((item) => {
      const box = L.latLngBounds(item.ring.map(([x, y]) => [y, x]));
      item.middle = box.getCenter();
      const width = (box.getEast() - box.getWest()) * scale;
      return width >= SIGN_FROM && view.contains(item.middle);
    });
    if (signed.length > MOST_SIGNS) return;
    for (const item of signed) {
      const checked = item.corrected || item.drawn;
      const sign = make("span", { text: `${signOf(classOf(item))}${checked ? "✓" : ""}` });
      const icon = L.divIcon({ className: "sign", html: sign, iconSize: [26, 16] });
      L.marker(item.middle, { icon, interactive: false, keyboard: false }).addTo(this.signs);
    }
  }

  #markSelected() {
    this.mark.clearLayers();
    const item = this.work.selected;
    if (!item) return;
    markAround(item.ring, 0.25, this.mark);
  }

  #replace(changed) {
    this.buildings = this.buildings.map((each) => (sameItem(each, changed) ? changed : each));
    this.draw();
  }
}

/** A frame around a ring of pixels; room: between them, in its own sizes. */
export function markAround(ring, room, layer) {
  const bounds = L.latLngBounds(ring.map(([x, y]) => [y, x])).pad(room);
  const plain = { interactive: false, fill: false };
  L.rectangle(bounds, { ...plain, color: "#fff", weight: 6, opacity: 0.9 }).addTo(layer);
  L.rectangle(bounds, { ...plain, color: "#0b63ce", weight: 3 }).addTo(layer);
}
