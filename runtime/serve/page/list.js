// All buildings, the least certain first, a page at a time; n and p walk through them.

import { attempt } from "./announce.js";
import { get, jobPath } from "./api.js";
import { make } from "./dom.js";
import { titleOf } from "./card.js";
import { swatch } from "./legend.js";
import { percent, text } from "./text.js";
import { CLASSES, classOf, sameItem } from "./work.js";

const PAGE = 50;

export class BuildingList {
  constructor(parts, work) {
    this.parts = parts;
    this.work = work;
    this.offset = 0;
    this.total = 0;
    this.buildings = [];
    this.movesAlone = matchMedia("(min-width: 800px)"); // see panel.css
    parts.only.append(make("option", { value: "", text: text("list.every") }));
    for (const name of CLASSES) {
      parts.only.append(make("option", { value: name, text: work.labelOf(name) }));
    }
    parts.only.addEventListener("change", () => this.page(0));
    parts.previous.addEventListener("click", () => this.walk(-1));
    parts.next.addEventListener("click", () => this.walk(1));
    parts.before.addEventListener("click", () => this.page(this.offset - PAGE));
    parts.after.addEventListener("click", () => this.page(this.offset + PAGE));
    work.addEventListener("selected", ({ detail }) => {
      this.#markSelected();
      if (detail.move && !this.movesAlone.matches) parts.card.scrollIntoView({ block: "nearest" });
    });
    work.addEventListener("drawn", () => this.#showDrawn());
    work.addEventListener("blind", () => {
      const { only } = this.parts;
      const at = only.value ? 0 : this.offset;
      if (work.blind) only.value = ""; // whom it lists would tell the class
      only.disabled = work.blind;
      this.page(at);
    });
    work.addEventListener("changed", ({ detail }) => {
      const at = this.buildings.findIndex((each) => sameItem(each, detail));
      if (at < 0) return;
      this.buildings[at] = detail;
      const row = this.parts.list.children[at];
      const focused = row.contains(document.activeElement);
      row.replaceWith(this.#row(detail));
      if (focused) this.parts.list.children[at].firstElementChild.focus();
      this.#markSelected();
    });
    this.#showDrawn();
    this.page(0);
  }

  async page(offset) {
    const query = new URLSearchParams({ sort: "confidence", offset, limit: String(PAGE) });
    if (this.parts.only.value) query.set("class", this.parts.only.value);
    const found = await attempt(() => get(jobPath(this.work.job.id, `/buildings?${query}`)));
    if (!found) return;
    this.offset = offset;
    this.total = found.total;
    this.buildings = found.buildings;
    this.parts.list.replaceChildren(...found.buildings.map((each) => this.#row(each)));
    this.parts.before.disabled = offset === 0;
    this.parts.after.disabled = offset + PAGE >= found.total;
    this.parts.before.parentElement.hidden = found.total <= PAGE;
    this.parts.found.textContent = found.total
      ? text("list.found", { from: offset + 1, to: offset + found.buildings.length, count: found.total })
      : text("list.none");
    this.#markSelected();
  }

  /** To the next building (1) or the one before (-1), over the ends of pages, too. */
  async walk(step) {
    const at = this.buildings.findIndex((each) => sameItem(each, this.work.selected));
    let to = at < 0 ? (step > 0 ? 0 : this.buildings.length - 1) : at + step;
    if (to < 0 && this.offset > 0) {
      await this.page(this.offset - PAGE);
      to = this.buildings.length - 1;
    } else if (to >= this.buildings.length && this.offset + PAGE < this.total) {
      await this.page(this.offset + PAGE);
      to = 0;
    }
    if (this.buildings[to]) this.work.select(this.buildings[to]);
  }

  #row(given) {
    const item = this.work.asShown(given);
    const label = this.work.labelOf(classOf(item));
    const checked = item.corrected || item.drawn;
    const sure = item.confidence === null ? "" : percent(item.confidence ?? 0);
    const state = checked ? text("list.checked") : sure;
    return make(
      "li",
      {},
      make(
        "button",
        { class: "building", onclick: () => this.work.select(given) },
        swatch(this.work, classOf(item)),
        make("span", { class: "grow", text: titleOf(item) }),
        make("span", { class: "quiet", text: label }),
        make("span", { class: "figure", text: state }),
      ),
    );
  }

  #showDrawn() {
    const { drawn } = this.work;
    this.parts.drawnHeading.hidden = drawn.length === 0;
    this.parts.drawn.replaceChildren(...drawn.map((each) => this.#row(each)));
    this.#markSelected();
  }

  #markSelected() {
    const rows = [
      [this.parts.list, this.buildings],
      [this.parts.drawn, this.work.drawn],
    ];
    for (const [place, items] of rows) {
      const inside = place.contains(document.activeElement);
      items.forEach((item, at) => {
        const button = place.children[at]?.firstElementChild;
        if (!button) return;
        const chosen = sameItem(item, this.work.selected);
        if (chosen) button.setAttribute("aria-current", "true");
        else button.removeAttribute("aria-current");
        if (chosen && this.movesAlone.matches) button.scrollIntoView({ block: "nearest" });
        if (chosen && inside) button.focus({ preventScroll: true });
      });
    }
  }
}
