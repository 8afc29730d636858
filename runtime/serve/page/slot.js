// The place of one file of a pair: choosing it, and how far it is.

import { announce } from "./announce.js";
import { tell } from "./dom.js";
import { Upload } from "./upload.js";
import { bytes, percent, text } from "./text.js";

export class Slot {
  constructor(element, parts, title, changed) {
    this.element = element;
    this.parts = parts;
    this.changed = changed;
    this.upload = null;
    this.limits = null;
    parts.title.textContent = title;
    parts.input.addEventListener("change", () => {
      const [file] = parts.input.files;
      parts.input.value = ""; // the same file may be chosen again
      if (file) this.choose(file);
    });
    parts.pause.addEventListener("click", () =>
      this.#moving() ? this.upload.pause() : this.upload.start(),
    );
    parts.cancel.addEventListener("click", () => {
      this.upload.cancel();
      this.#set(null);
    });
    this.#show();
  }

  allow(limits) {
    this.limits = limits;
    this.parts.input.accept = limits.types.join(",");
  }

  choose(file) {
    const line = this.#refused(file);
    if (line) {
      tell(this.parts.error, line);
      return;
    }
    this.upload?.cancel();
    this.#set(new Upload(file));
    this.upload.start();
  }

  exchange(other) {
    const [mine, theirs] = [this.upload, other.upload];
    this.#set(theirs);
    other.#set(mine);
  }

  stop() {
    if (this.#moving()) this.upload.pause();
  }

  #refused(file) {
    if (!this.limits) return null;
    const { types, upload_bytes: most } = this.limits;
    if (!types.some((type) => file.name.toLowerCase().endsWith(type))) {
      return text("upload.type", { name: file.name, types: types.join(" ") });
    }
    if (file.size > most) {
      return text("upload.large", { name: file.name, size: bytes(file.size), most: bytes(most) });
    }
    return file.size ? null : text("upload.empty", { name: file.name });
  }

  #moving() {
    return ["sending", "retrying"].includes(this.upload?.state);
  }

  #set(upload) {
    this.upload?.removeEventListener("change", this.listener);
    this.upload = upload;
    this.listener = () => this.#show();
    upload?.addEventListener("change", this.listener);
    this.#show();
    this.changed();
  }

  #show() {
    const { parts, upload } = this;
    const file = upload?.file;
    parts.file.textContent = file
      ? text("upload.file", { name: file.name, size: bytes(file.size) })
      : text("upload.choose");
    parts.bar.hidden = parts.line.hidden = !upload;
    tell(parts.error, upload?.error);
    this.element.classList.toggle("done", upload?.state === "done");
    if (!upload) return;
    const share = upload.sent / file.size;
    parts.bar.value = share;
    parts.bar.setAttribute("aria-label", text("upload.progress", { name: file.name }));
    parts.state.textContent = text(`upload.${upload.state}`, { share: percent(share) });
    parts.pause.hidden = upload.state === "done";
    parts.pause.textContent = text(this.#moving() ? "upload.pause" : "upload.goOn");
    if (upload.state === "done" && this.told !== upload) {
      this.told = upload;
      announce(text("upload.arrived", { name: file.name }));
    }
  }
}
