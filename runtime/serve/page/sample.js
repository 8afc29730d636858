// The sample of a map: drawn, checked row by row, and the totals with intervals that it gives.

import { announce, attempt } from "./announce.js";
import { get, jobPath, post } from "./api.js";
import { showCard } from "./card.js";
import { make, tell, template } from "./dom.js";
import { swatch } from "./legend.js";
import { markAround } from "./outlines.js";
import { text } from "./text.js";
import { askWho } from "./who.js";
import { CLASSES } from "./work.js";

const L = window.L;

const isOpen = (row) => Boolean(row.conflict) || (row.true_class === null && row.missed === null);

export class SampleCheck {
  constructor(place, work, scene) {
    const { root, parts } = template("sample");
    place.append(root);
    this.parts = parts;
    this.work = work;
    this.scene = scene;
    this.rows = null; // of the sample, once there is one
    this.at = 0; // which of them was looked at last
    this.looking = false; // is it shown now?
    this.begun = false; // was one looked at, in this visit?
    this.frame = L.layerGroup().addTo(scene.map);
    this.counts = CLASSES.map((name) => this.#field(name));
    parts.draw.addEventListener("submit", (event) => this.#submitted(event, () => this.#draw()));
    parts.cell.addEventListener("submit", (event) => this.#submitted(event, () => this.#searched()));
    parts.next.addEventListener("click", () => attempt(() => this.#next()));
    parts.back.addEventListener("click", () => attempt(() => this.#back()));
    parts.classShown.addEventListener("change", () => this.#show());
    parts.estimate.addEventListener("click", () => attempt(() => this.#estimate()));
    work.addEventListener("selected", () => this.#selected());
    work.addEventListener("changed", ({ detail }) => this.#changed(detail));
    work.addEventListener("drawn", () => this.rows && attempt(() => this.#drawn()));
    if (work.summary.sample) attempt(() => this.#load());
    this.#show();
  }

  get row() {
    return this.looking ? this.rows[this.at] : null;
  }

  async #load() {
    this.#take(await get(this.#path("/sample")));
  }

  #take({ id, rows }) {
    this.rows = rows;
    this.work.sample = id;
    this.work.rows = new Map(rows.filter((row) => row.kind === "building").map((row) => [row.building, row]));
    this.#show();
  }

  async #draw() {
    this.parts.begin.disabled = true;
    try {
      const drawn = await post(this.#path("/sample"), { n: this.parts.n.valueAsNumber });
      this.at = 0;
      this.looking = this.begun = false;
      this.work.told.clear();
      this.#take(drawn);
      this.parts.next.focus();
    } finally {
      this.parts.begin.disabled = false;
    }
  }

  /** To the next row that nobody checked, also not on another page. */
  async #next() {
    const from = this.at + (this.looking ? 1 : 0);
    this.looking = false;
    this.work.select(null); // a key that comes too soon is nobody's answer
    await this.work.turn;
    await this.#load();
    const order = [...this.rows.keys()].map((step) => (from + step) % this.rows.length);
    const to = order.find((at) => isOpen(this.rows[at]));
    if (to !== undefined) await this.#look(to);
  }

  /** To the row before, checked or not. */
  async #back() {
    const to = Math.max(0, this.at - (this.looking ? 1 : 0));
    this.work.select(null);
    await this.#look(to);
  }

  async #look(at) {
    const row = this.rows[at];
    const { parts } = this;
    const item = row.kind === "building" ? await get(this.#path(`/buildings/${row.building}`)) : null;
    this.at = at;
    this.looking = this.begun = true;
    this.#show();
    if (item && !parts.card.firstChild) showCard(parts.card, this.work);
    this.work.select(item, { seen: true });
    this.scene.show(row.ring, item ? {} : { room: 0.6, slack: 0 });
    this.#fill();
    this.#show();
    (item && !parts.next.hidden ? parts.next : item ? parts.back : parts.done).focus({ preventScroll: true });
    parts.ways.scrollIntoView({ block: "start" });
  }

  /** Whoever chooses another building looks at that. */
  #selected() {
    const { selected } = this.work;
    if (this.row?.kind !== "building") return;
    if (selected && !selected.drawn && selected.id === this.row.building) return;
    this.looking = false;
    this.#show();
  }

  /** A building was answered, here or in the list, or its answer was taken back. */
  #changed(item) {
    const row = this.work.rows.get(item.id);
    if (!row || item.drawn) return;
    row.true_class = item.corrected;
    row.conflict = null;
    this.#show();
  }

  /** What is drawn in a cell is missing there. */
  async #drawn() {
    await this.#load();
    this.#fill();
  }

  async #searched() {
    const { row } = this;
    if (!row || !(await askWho())) return;
    const counted = this.counts.filter(({ input }) => input.valueAsNumber > 0);
    const missed = Object.fromEntries(counted.map(({ name, input }) => [name, input.valueAsNumber]));
    const now = await this.work.check(row, { missed });
    this.rows[this.rows.findIndex((each) => each.row === row.row)] = now;
    this.#show();
    if (now.conflict) return;
    this.looking = false;
    this.#show();
    announce(text("sample.cellDone", { row: now.row }));
    (this.parts.next.hidden ? this.parts.estimate : this.parts.next).focus();
  }

  async #estimate() {
    await post(this.#path("/estimate"));
    this.work.refresh();
    announce(text("sample.estimated"));
  }

  #fill() {
    if (this.row?.kind !== "cell") return;
    const { conflict, missed, drawn } = this.row;
    const known = conflict ? drawn : missed ?? drawn;
    for (const { name, input } of this.counts) input.value = String(known[name] ?? 0);
  }

  #show() {
    const { parts, rows, row } = this;
    const count = rows?.length ?? 0;
    const done = count - (rows ?? []).filter(isOpen).length;
    parts.draw.hidden = done > 0 || this.looking;
    parts.line.textContent = done ? text("sample.state", { done, count }) : text("sample.why");
    parts.bar.hidden = !rows;
    parts.bar.max = Math.max(count, 1);
    parts.bar.value = done;
    parts.next.hidden = done === count;
    parts.next.textContent = text("sample.next", { done, count });
    parts.next.classList.toggle("main", !this.looking);
    parts.back.hidden = !done;
    parts.estimate.hidden = !rows || done < count;
    parts.sight.hidden = !rows || done === count;
    this.work.checkSample(this.begun, this.begun && done < count && !parts.classShown.checked);
    parts.card.hidden = row?.kind !== "building";
    parts.cell.hidden = row?.kind !== "cell";
    tell(parts.conflict, row?.conflict);
    this.frame.clearLayers();
    if (row?.kind !== "cell") return;
    const title = text("sample.cell", { row: row.row });
    if (parts.cellTitle.textContent !== title) parts.cellTitle.textContent = title;
    markAround(row.ring, 0, this.frame);
  }

  #field(name) {
    const input = make("input", { type: "number", class: "count", min: "0", max: "1000000", value: "0", required: true });
    const label = make("span", {}, swatch(this.work, name), ` ${this.work.labelOf(name)}`);
    this.parts.counts.append(make("label", { class: "field" }, label, input));
    return { name, input };
  }

  #submitted(event, action) {
    event.preventDefault();
    return attempt(action);
  }

  #path(rest) {
    return jobPath(this.work.job.id, rest);
  }
}
