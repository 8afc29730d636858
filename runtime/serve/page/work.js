// What is known of one map and what its users set right; every part of the view listens to it.

import { get, jobPath, post, put, remove } from "./api.js";
import { settled } from "./dom.js";
import { className, text } from "./text.js";
import { askWho, who } from "./who.js";

export const CLASSES = ["no-damage", "minor-damage", "major-damage", "destroyed"];
export const NO_BUILDING = "not-a-building";
export const CHOICES = [...CLASSES, NO_BUILDING];

const GREY = "#8a939b";
const NEUTRAL = "#4cc2ff"; // of a building whose class is not shown: like none of the classes

/** The key and the sign of a class: 1 to 4, 0 for what is no building; of none that is shown "?". */
export const signOf = (damageClass) => (damageClass ? (CLASSES.indexOf(damageClass) + 1) % 5 : "?");

/** Is it a correction, and not only looked at and found right? */
const changes = (item) => Number(Boolean(item.corrected) && item.corrected !== item.class);

/** The class that counts: as corrected, else as mapped; null where that is not shown. */
export const classOf = (item) => item.corrected ?? item.class;

/** A correction that drew a building, in the shape of a building of the map. */
export const asDrawn = (correction) => ({
  ...correction,
  drawn: true,
  class: correction.new_class,
  corrected: null,
});

export const sameItem = (one, other) =>
  Boolean(one && other && one.id === other.id && Boolean(one.drawn) === Boolean(other.drawn));

export class Work extends EventTarget {
  /** Dispatches "selected" (detail: { move }), "changed" (an item), "drawn", "totals", "steps",
   *  "blind". */
  constructor(job, scene, summary, drawn) {
    super();
    this.job = job;
    this.scene = scene;
    this.summary = summary;
    this.drawn = drawn.map(asDrawn);
    this.selected = null;
    this.drawing = false;
    this.latest = new Map(); // buildings by number, as the box last told them
    this.sample = null; // its id
    this.rows = new Map(); // of the sample, by the number of their building
    this.checking = false; // has that begun, in this visit?
    this.blind = false; // and without what the map says?
    this.told = new Set(); // buildings whose class was shown since it has begun
    this.turn = Promise.resolve();
    this.steps = []; // what `undo` takes back, the last one first
    this.refresh = settled(400, () => this.#refresh());
  }

  colourOf(damageClass) {
    if (!damageClass) return NEUTRAL;
    return this.scene.legend.find((entry) => entry.class === damageClass)?.colour ?? GREY;
  }

  labelOf(damageClass) {
    if (!damageClass) return text("class.hidden");
    const label = this.scene.legend.find((entry) => entry.class === damageClass)?.label;
    return className(damageClass, label ?? damageClass);
  }

  /** Rows of the sample are checked, blind or not; or none is. */
  checkSample(checking, blind) {
    const changed = this.checking !== checking || this.blind !== blind;
    this.checking = checking;
    this.blind = blind;
    if (changed) this.#tell("blind");
  }

  /** A building as it may be shown: while the sample is checked blind, without what the map says. */
  asShown(item) {
    const hidden = this.blind && item && !item.drawn && this.rows.has(item.id);
    return hidden ? { ...item, class: null, confidence: null, shares: null } : item;
  }

  /** What the map says of it is in sight: what is answered from now on is not blind. */
  sees(item) {
    if (this.checking && !this.blind && !item.drawn) this.told.add(item.id);
  }

  /** seen: it is in view already, the map need not move there. */
  select(item, { seen = false } = {}) {
    const move = Boolean(item) && !seen && !sameItem(item, this.selected);
    this.selected = item;
    this.#tell("selected", { move });
  }

  /** Set the class of a building, a drawn one too; null: as it was mapped. */
  correct(given, damageClass) {
    return this.#inTurn(() => this.#correct(this.#present(given), damageClass));
  }

  async #correct(item, damageClass) {
    const agreed = item.drawn || (item.corrected && !this.rows.get(item.id)?.conflict);
    if (damageClass === classOf(item) && agreed) return;
    if (!(await askWho())) return;
    const old = item.drawn ? item.class : item.corrected;
    if (item.drawn) {
      const changed = await this.#redraw(item, damageClass);
      this.#step(() => this.#redraw(this.#present(changed), old));
    } else {
      const changed = await this.#set(item, damageClass);
      this.#step(() => this.#set(changed, old));
    }
  }

  /** A building that the map lacks; ring: [[x, y], ...] in pixels of the map. */
  draw(ring, damageClass) {
    return this.#inTurn(() => this.#draw(ring, damageClass));
  }

  async #draw(ring, damageClass) {
    if (!(await askWho())) return null;
    const item = await this.#add(ring, damageClass);
    this.#step(() => this.#takeAway(this.#present(item)));
    this.select(item, { seen: true });
    return item;
  }

  erase(given) {
    return this.#inTurn(async () => {
      const item = this.#present(given);
      await this.#takeAway(item);
      this.#step(() => this.#add(item.ring, item.class, item.name));
    });
  }

  undo() {
    return this.#inTurn(async () => {
      const last = this.steps.pop();
      if (!last) return false;
      try {
        await last();
      } catch (error) {
        if (error.status === 0) this.steps.push(last); // else there is nothing left to take back
        throw error;
      } finally {
        this.#tell("steps");
      }
      return true;
    });
  }

  /** One change after the other, each from what the one before left. */
  #inTurn(action) {
    const done = this.turn.then(action);
    this.turn = done.catch(() => {});
    return done;
  }

  async #set(item, damageClass) {
    const changed = await this.#say(item, damageClass);
    this.latest.set(changed.id, changed);
    this.#count(classOf(item), classOf(changed));
    this.summary.corrections += changes(changed) - changes(item);
    this.#replaced(item, changed);
    return changed;
  }

  /** Say what a row of the sample is, and whether the map's class was in sight. */
  check(row, said) {
    const path = jobPath(this.job.id, `/sample/${row.row}`);
    const answers = Boolean(said.class || said.missed);
    const seen = answers ? !this.blind || this.told.has(row.building) : null;
    return put(path, { ...said, class_seen: seen, who: who(), sample: this.sample });
  }

  /** Of a building of the sample its row says the same. */
  async #say(item, damageClass) {
    const path = jobPath(this.job.id, `/buildings/${item.id}`);
    const row = this.rows.get(item.id);
    if (row) {
      await this.check(row, { class: damageClass });
      return get(path);
    }
    if (damageClass) return put(`${path}/correction`, { class: damageClass, who: who() });
    return remove(`${path}/correction`);
  }

  /** name: the first number that a drawn building had; the steps know it by that. */
  async #add(ring, damageClass, name) {
    const path = jobPath(this.job.id, "/drawn");
    const item = asDrawn(await post(path, { ring, class: damageClass, who: who() }));
    item.name = name ?? item.id;
    this.drawn.push(item);
    this.#count(null, item.class);
    this.summary.corrections += 1;
    this.#tell("drawn");
    this.#told();
    return item;
  }

  async #takeAway(item) {
    await remove(jobPath(this.job.id, `/drawn/${item.id}`));
    this.drawn = this.drawn.filter((each) => each.id !== item.id);
    this.#count(item.class, null);
    this.summary.corrections -= 1;
    if (sameItem(this.selected, item)) this.select(null);
    this.#tell("drawn");
    this.#told();
  }

  /** A drawn building of another class: a new one in the place of the old one. */
  async #redraw(item, damageClass) {
    const added = await this.#add(item.ring, damageClass, item.name ?? item.id);
    await this.#takeAway(item);
    this.select(added, { seen: true });
    return added;
  }

  /** A building as it is by now, whatever replaced it since. */
  #present(item) {
    if (!item.drawn) return this.latest.get(item.id) ?? item;
    const name = item.name ?? item.id;
    return this.drawn.findLast((each) => (each.name ?? each.id) === name) ?? item;
  }

  #replaced(item, changed) {
    this.#tell("changed", changed);
    if (sameItem(this.selected, item)) this.select(changed);
    this.#told();
  }

  /** Totals change at once; the box's own follow a moment later. */
  #count(from, to) {
    const totals = this.summary.corrected;
    for (const [name, step] of [[from, -1], [to, 1]]) {
      if (name && name !== NO_BUILDING) totals[name] = (totals[name] ?? 0) + step;
    }
  }

  #told() {
    this.#tell("totals");
    this.refresh();
  }

  async #refresh() {
    const asked = this.turn;
    const found = await get(jobPath(this.job.id, "/summary")).catch(() => this.summary);
    if (asked !== this.turn) return void this.refresh(); // it is from before a change
    this.summary = found;
    this.#tell("totals");
  }

  #step(back) {
    this.steps.push(back);
    this.#tell("steps");
  }

  #tell(kind, detail = null) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
  }
}
