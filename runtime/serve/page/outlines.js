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
const MOST_SIGNS = 400;
const SIGN = [14, 14]; // width and height of a sign, pixels of the screen: a smaller one is not readable

/** Colour is not the only sign of a class: lines differ in weight and dashes, too. */
const LINES = {
  "no-damage": { weight: 1.5 },
  "minor-damage": { weight: 2.5, dashArray: "8 4" },
  "major-damage": { weight: 3, dashArray: "3 4" },
  destroyed: { weight: 3.5 },
  hidden: { weight: 2.5 },
  "not-a-building": { weight: 1.5, dashArray: "1 5" },
};

const NEAR = 0.08; // opacity of a fill: what stands there is to be seen

/** From afar, where dashes and signs have no room, a building is the fuller the worse it is. */
const FULL = { "minor-damage": 0.35, "major-damage": 0.7, destroyed: 1 };

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
    const signed = this.#roomFor(items);
    const { far } = this.scene;
    const thin = Math.min(1, Math.max(0.3, this.scene.scale)); // where a whole town is in view
    L.polyline(casing, { ...plain, color: "#000", opacity: 0.55, weight: 5 * thin }).addTo(this.group);
    for (const [at, item] of items.entries()) {
      const damageClass = classOf(item);
      const colour = this.work.colourOf(damageClass);
      const line = LINES[damageClass ?? "hidden"] ?? LINES["not-a-building"];
      L.polygon(corners(item), {
        renderer: this.canvas,
        color: colour,
        fillColor: colour,
        fillOpacity: (far && !signed.has(item) && FULL[damageClass]) || NEAR,
        ...line,
        weight: line.weight * thin,
        dashArray: far ? null : line.dashArray,
      })
        .on("click", () => this.work.drawing || this.work.select(given[at], { seen: true }))
        .addTo(this.group);
    }
    this.#sign(signed);
    this.#markSelected();
  }

  /** Buildings that are large enough on the screen for a sign, beside those of others; the middle of
   *  each. The least certain come first. */
  #roomFor(items) {
    const { map, scale } = this.scene;
    const view = map.getBounds();
    const signed = new Map();
    const taken = new Set();
    for (const item of items) {
      const box = L.latLngBounds(item.ring.map(([x, y]) => [y, x]));
      const middle = box.getCenter();
      const width = (box.getEast() - box.getWest()) * scale;
      if (width < SIGN[0] || !view.contains(middle)) continue;
      const { x, y } = map.latLngToContainerPoint(middle);
      const [column, row] = [Math.floor(x / SIGN[0]), Math.floor(y / SIGN[1])];
      const near = [-1, 0, 1].flatMap((left) => [-1, 0, 1].map((up) => `${column + left} ${row + up}`));
      if (near.some((each) => taken.has(each))) continue;
      taken.add(`${column} ${row}`);
      signed.set(item, middle);
      if (signed.size === MOST_SIGNS) break;
    }
    return signed;
  }

  /** The number of its class on each of these. */
  #sign(signed) {
    for (const [item, middle] of signed) {
      const checked = item.corrected || item.drawn;
      const sign = make("span", { text: `${signOf(classOf(item))}${checked ? "✓" : ""}` });
      const icon = L.divIcon({ className: "sign", html: sign, iconSize: [26, 16] });
      L.marker(middle, { icon, interactive: false, keyboard: false }).addTo(this.signs);
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
