// A building drawn by clicks, taps or keys: corners, an end, and a class.

import { announce, attempt } from "./announce.js";
import { make } from "./dom.js";
import { text } from "./text.js";
import { CLASSES } from "./work.js";

const L = window.L;

const CLOSE = 14; // pixels of the screen: a click this near to the first corner ends the outline

export class Drawing {
  constructor(parts, work, scene) {
    this.parts = parts;
    this.work = work;
    this.scene = scene;
    this.corners = []; // [x, y] in pixels of the map
    this.sketch = L.layerGroup().addTo(scene.map);
    for (const name of CLASSES) {
      parts.drawnClass.append(make("option", { value: name, text: work.labelOf(name) }));
    }
    scene.map.on("click", (event) => work.drawing && this.#clicked(event.latlng));
    parts.finish.addEventListener("click", () => this.finish());
    parts.back.addEventListener("click", () => this.back());
    parts.stop.addEventListener("click", () => this.end());
  }

  /** byKeys: corners are set where the cross in the middle is, too. */
  begin({ byKeys = false } = {}) {
    if (this.work.drawing) return;
    this.corners = [];
    this.work.drawing = true;
    this.work.select(null);
    this.scene.map.doubleClickZoom.disable();
    this.shown = this.scene.base;
    if (this.shown === "compare") this.#showBase("after");
    this.parts.stage.classList.add("draws");
    this.parts.drawing.hidden = false;
    this.parts.crosshair.hidden = !byKeys;
    this.#show();
    this.scene.map.getContainer().focus();
  }

  /** For those who draw by keys: a corner in the middle of the view. */
  cornerInMiddle() {
    this.parts.crosshair.hidden = false;
    this.#clicked(this.scene.map.getCenter());
  }

  back() {
    this.corners.pop();
    this.#show();
  }

  async finish() {
    if (this.corners.length < 3) return;
    const { value } = this.parts.drawnClass;
    const item = await attempt(() => this.work.draw(this.corners, value));
    if (!item) return;
    this.end();
    announce(text("draw.done", { label: this.work.labelOf(value) }));
  }

  end() {
    if (!this.work.drawing) return;
    this.work.drawing = false;
    this.#showBase(this.shown);
    this.corners = [];
    this.sketch.clearLayers();
    this.scene.map.doubleClickZoom.enable();
    this.parts.stage.classList.remove("draws");
    this.parts.drawing.hidden = this.parts.crosshair.hidden = true;
  }

  #showBase(base) {
    this.scene.base = base;
    this.scene.arrange();
  }

  #clicked({ lat, lng }) {
    const { map, size } = this.scene;
    const inside = (value, most) => Math.min(most, Math.max(0, value));
    const corner = [inside(lng, size.width), inside(lat, size.height)];
    const onScreen = ([x, y]) => map.latLngToContainerPoint([y, x]);
    if (this.corners.length >= 3) {
      const away = onScreen(corner).distanceTo(onScreen(this.corners[0]));
      if (away < CLOSE) return void this.finish();
    }
    this.corners.push(corner);
    this.#show();
  }

  #show() {
    const count = this.corners.length;
    this.parts.corners.textContent = text(count ? "draw.corners" : "draw.hint", { count });
    this.parts.finish.disabled = count < 3;
    this.parts.back.disabled = count < 1;
    this.sketch.clearLayers();
    const points = this.corners.map(([x, y]) => [y, x]);
    const line = { interactive: false, fillOpacity: 0.15 };
    L.polygon(points, { ...line, color: "#000", weight: 5, opacity: 0.6 }).addTo(this.sketch);
    L.polygon(points, { ...line, color: "#4cc2ff", weight: 2.5 }).addTo(this.sketch);
    for (const point of points) {
      L.circleMarker(point, { ...line, radius: 5, color: "#000", fillColor: "#fff", fillOpacity: 1, weight: 1.5 })
        .addTo(this.sketch);
    }
  }
}
