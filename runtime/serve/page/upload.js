// One file on its way to the box, in pieces; goes on where it stopped, also after a reload.

import { ApiError, get, patch, post, remove } from "./api.js";
import { recall, remember } from "./storage.js";

export const PIECE = 8 * 2 ** 20;

const LONGEST_WAIT = 30_000;

/** The same file, as far as a browser can tell. */
const markOf = (file) => `${file.name}|${file.size}|${file.lastModified}`;

/** Uploads that a reload or a closed window broke off: [{ name, size, offset }]. */
export const brokenOff = () =>
  Object.values(recall("uploads", {})).filter(({ size, offset }) => offset < size);

export class Upload extends EventTarget {
  /** Dispatches "change" when sent, state or error do. */
  constructor(file) {
    super();
    this.file = file;
    this.id = null;
    this.sent = 0;
    this.state = "waiting"; // waiting | sending | paused | retrying | done | failed | cancelled
    this.error = null;
    this.#promise();
  }

  #promise() {
    this.finished = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.finished.catch(() => {}); // told by the state, too
  }

  async start() {
    if (this.state === "failed") this.#promise();
    this.stopping = new AbortController();
    this.set("sending");
    let wait = 1000;
    for (;;) {
      try {
        await this.#findOffset();
        await this.#sendPieces();
        this.set("done");
        this.resolve(this.id);
        return;
      } catch (error) {
        if (this.stopping.signal.aborted) return;
        if (!mayPass(error)) return this.fail(error);
        this.set("retrying", error.message);
        await pause(wait, this.stopping.signal);
        if (this.stopping.signal.aborted) return;
        wait = Math.min(2 * wait, LONGEST_WAIT);
        this.set("sending");
      }
    }
  }

  pause() {
    this.stopping.abort();
    this.set("paused");
  }

  async cancel() {
    this.stopping?.abort();
    forget(this.file);
    this.set("cancelled");
    this.reject(new ApiError(0, ""));
    if (this.id) await remove(`/api/uploads/${this.id}`).catch(() => {});
  }

  /** A job has it now: the same file, chosen again, is a new one. */
  used() {
    forget(this.file);
  }

  fail(error) {
    forget(this.file);
    this.set("failed", error.message);
    this.reject(error);
  }

  set(state, error = null) {
    this.state = state;
    this.error = error;
    this.dispatchEvent(new Event("change"));
  }

  /** How far the box is; a new upload where it knows of none. */
  async #findOffset() {
    const known = this.id ?? recall("uploads", {})[markOf(this.file)]?.id;
    if (known) {
      try {
        const upload = await get(`/api/uploads/${known}`);
        if (upload.size === this.file.size) return this.#at(upload);
      } catch (error) {
        if (error.status !== 404) throw error;
      }
    }
    this.#at(await post("/api/uploads", { name: this.file.name, size: this.file.size }));
  }

  #at({ id, offset }) {
    this.id = id;
    this.sent = offset;
    const { name, size } = this.file;
    remember("uploads", { ...recall("uploads", {}), [markOf(this.file)]: { id, name, size, offset } });
    this.dispatchEvent(new Event("change"));
  }

  async #sendPieces() {
    const { signal } = this.stopping;
    while (this.sent < this.file.size) {
      signal.throwIfAborted();
      const begin = this.sent;
      const piece = this.file.slice(begin, begin + PIECE);
      const told = (sent) => {
        this.sent = begin + Math.min(sent, piece.size);
        this.dispatchEvent(new Event("change"));
      };
      const body = await patch(`/api/uploads/${this.id}`, piece, begin, told, signal);
      this.#at({ id: this.id, offset: body.offset });
    }
  }
}

/** Is this a fault that goes away by itself? 409: the offset was another, which is asked for. */
const mayPass = (error) =>
  error instanceof ApiError && [0, 409, 429, 502, 503, 504].includes(error.status);

function forget(file) {
  const uploads = recall("uploads", {});
  delete uploads[markOf(file)];
  remember("uploads", uploads);
}

/** Wait; shorter where the browser is back on the network, or someone wants to stop. */
function pause(milliseconds, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    const now = () => {
      clearTimeout(timer);
      resolve();
    };
    window.addEventListener("online", now, { once: true });
    signal.addEventListener("abort", now, { once: true });
  });
}
