// The form for a pair of files: two places, each sent as soon as it is chosen.

import { post } from "./api.js";
import { make, tell, template } from "./dom.js";
import { brokenOff } from "./upload.js";
import { Slot } from "./slot.js";
import { bytes, percent, text } from "./text.js";

const LOOKS_EARLIER = /pre|before|vor|avant|antes/i;

export class PairForm {
  constructor(parts, started) {
    this.parts = parts;
    this.started = started;
    const changed = () => this.#show();
    this.slots = ["pre", "post"].map((side) => {
      const { root, parts: own } = template("slot");
      parts[side].append(root);
      return new Slot(parts[side], own, text(`upload.${side}`), changed);
    });
    parts.form.addEventListener("submit", (event) => this.#submit(event));
    parts.swap.addEventListener("click", () => {
      const [pre, post] = this.slots;
      pre.exchange(post);
    });
    for (const kind of ["dragover", "drop"]) {
      parts.upload.addEventListener(kind, (event) => event.preventDefault());
    }
    parts.upload.addEventListener("dragover", () => parts.upload.classList.add("over"));
    parts.upload.addEventListener("dragleave", () => parts.upload.classList.remove("over"));
    parts.upload.addEventListener("drop", (event) => this.#drop(event));
    this.#show();
  }

  allow(limits) {
    for (const slot of this.slots) slot.allow(limits);
    const types = new Intl.ListFormat(undefined, { type: "disjunction" }).format(
      limits.types.map((type) => type.replace(/^\./, "")),
    );
    tell(this.parts.hint, text("upload.hint", { types, size: bytes(limits.upload_bytes) }));
  }

  /** Stop sending, so that the same files can go on later. */
  leave() {
    for (const slot of this.slots) slot.stop();
  }

  #drop(event) {
    this.parts.upload.classList.remove("over");
    const files = [...event.dataTransfer.files].slice(0, 2);
    const aimed = this.slots.find((slot) => slot.element.contains(event.target));
    if (files.length === 1) {
      const slot = aimed ?? this.slots.find((each) => !each.upload) ?? this.slots[0];
      slot.choose(files[0]);
      return;
    }
    if (!LOOKS_EARLIER.test(files[0].name) && LOOKS_EARLIER.test(files[1].name)) files.reverse();
    files.forEach((file, at) => this.slots[at].choose(file));
  }

  async #submit(event) {
    event.preventDefault();
    const { go, state, name } = this.parts;
    go.disabled = true;
    tell(state, text("upload.waits"));
    try {
      const [pre, after] = await Promise.all(this.slots.map((slot) => slot.upload.finished));
      const job = { pre: { upload: pre }, post: { upload: after } };
      if (name.value.trim()) job.name = name.value.trim();
      const begun = await post("/api/jobs", job);
      for (const slot of this.slots) slot.upload.used();
      this.started(begun);
    } catch (error) {
      tell(state, error.message);
    }
    this.#show();
  }

  #show() {
    const uploads = this.slots.map((slot) => slot.upload);
    this.parts.go.disabled = !uploads.every(Boolean);
    this.parts.swap.hidden = !uploads.some(Boolean);
    const names = uploads.map((upload) => upload?.file.name);
    this.parts.broken.replaceChildren(
      ...brokenOff()
        .filter(({ name }) => !names.includes(name))
        .map(({ name, size, offset }) =>
          make("li", { text: text("upload.broken", { name, share: percent(offset / size) }) }),
        ),
    );
  }
}
