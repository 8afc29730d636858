// The picture: Leaflet in pixels of the map, x to the right and y down, with its layers.

import { holesLayer } from "./holes.js";
import { jobPath } from "./api.js";

const L = window.L;

/** Zoom levels beyond one pixel of the map for one of the screen. */
const CLOSER = 3;

/** Layers that tell what the map says of a building. */
const TELLING = ["damage", "confidence"];

export const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export class Scene {
  constructor(parts, work) {
    const { width, height, max_zoom: whole } = work.scene;
    const scale = 1 / 2 ** whole;
    this.size = { width, height };
    this.whole = whole;
    this.base = "compare";
    this.over = "damage";
    this.opacity = 0.35;
    this.hidden = []; // layers that are not to be chosen
    this.divider = 0.5; // share of the width, see swipe.js
    this.listeners = [];
    this.map = L.map(parts.map, {
      crs: L.extend({}, L.CRS.Simple, {
        transformation: new L.Transformation(scale, 0, scale, 0),
      }),
      attributionControl: false,
      zoomControl: false,
      zoomSnap: 0.25,
      minZoom: 0,
      maxZoom: whole + CLOSER,
      maxBounds: L.latLngBounds([0, 0], [height, width]).pad(0.6),
      zoomAnimation: !still(),
      fadeAnimation: !still(),
      inertia: !still(),
    });
    this.bounds = L.latLngBounds([0, 0], [height, width]);
    this.layers = {};
    for (const [at, name] of work.scene.layers.entries()) {
      const pane = this.map.createPane(`layer-${name}`);
      pane.classList.add("layer-pane", `layer-${name}`);
      pane.style.zIndex = String(210 + at);
      this.layers[name] = L.tileLayer(jobPath(work.job.id, `/tiles/${name}/{z}/{x}/{y}.png`), {
        pane: `layer-${name}`,
        bounds: this.bounds,
        tileSize: work.scene.tile,
        maxNativeZoom: whole,
        maxZoom: whole + CLOSER,
        noWrap: true,
      });
    }
    if (holesOf(work.summary.summary) > 0) holesLayer(work, this.map, this.bounds).addTo(this.map);
    this.all();
    this.arrange();
    work.addEventListener("blind", () => this.#hide(work.blind));
    this.watcher = new ResizeObserver(() => this.map.invalidateSize({ animate: false }));
    this.watcher.observe(parts.map);
  }

  /** Show what base and over say. base: compare | before | after; over: a layer or "none". */
  arrange() {
    const wanted = new Set([this.over]);
    if (this.base !== "after") wanted.add("before");
    if (this.base !== "before") wanted.add("after");
    for (const [name, layer] of Object.entries(this.layers)) {
      if (wanted.has(name)) layer.addTo(this.map);
      else layer.remove();
    }
    this.layers[this.over]?.setOpacity(this.opacity);
    for (const listener of this.listeners) listener();
  }

  /** While a sample is checked blind; what lay over the image comes back after it. */
  #hide(blind) {
    this.hidden = blind ? TELLING : [];
    if (this.hidden.includes(this.over)) {
      this.later = this.over;
      this.over = "none";
    } else if (!blind) {
      if (this.over === "none") this.over = this.later ?? "none";
      this.later = null;
    }
    this.arrange();
  }

  /** Pixels of the screen for one of the map. */
  get scale() {
    return 2 ** (this.map.getZoom() - this.whole);
  }

  /** Is it shown so small that lines and signs have no room? */
  get far() {
    return this.scale < 0.8;
  }

  onArranged(listener) {
    this.listeners.push(listener);
  }

  all() {
    this.map.fitBounds(this.bounds, { animate: false });
  }

  /**
   * Bring a ring of pixels into view, large enough to be judged, and beside the divider.
   * room: around it, in its own sizes; slack: zoom levels that it may be off.
   */
  show(ring, { room = 2, slack = 1 } = {}) {
    const bounds = L.latLngBounds(ring.map(([x, y]) => [y, x]));
    const around = this.map.getBoundsZoom(bounds.pad(room));
    const now = this.map.getZoom();
    const fits = now >= around - slack && now <= around + slack;
    const zoom = fits ? now : Math.min(around, this.whole + CLOSER - 1);
    const width = this.map.getSize().x;
    const wide = this.base === "compare" && this.divider < 0.8; // is there room for it after?
    const aside = wide ? (this.divider / 2) * width : 0;
    const middle = this.map.project(bounds.getCenter(), zoom).subtract([aside, 0]);
    this.map.setView(this.map.unproject(middle, zoom), zoom, { animate: !still() });
  }

  leave() {
    this.watcher.disconnect();
    this.map.remove();
  }
}

/** Share of the map that was not computed: 0 to 1. */
export const holesOf = (summary) =>
  (summary.pixels?.["not computed"] ?? 0) / (summary.width * summary.height);
