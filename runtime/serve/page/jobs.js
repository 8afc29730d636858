// The list of jobs. A line stays the same element while its job does, so that it keeps the focus.

import { attempt } from "./announce.js";
import { jobPath, post, remove } from "./api.js";
import { confirmed } from "./dialog.js";
import { tell, template } from "./dom.js";
import { percent, text, when } from "./text.js";

const ENDED = ["done", "failed", "cancelled"];

export class JobLines {
  constructor(parts, changed) {
    this.list = parts.jobs;
    this.none = parts.none;
    this.changed = changed;
    this.lines = new Map();
  }

  show(jobs) {
    this.none.hidden = jobs.length > 0;
    for (const [id, line] of this.lines) {
      if (jobs.some((job) => job.id === id)) continue;
      line.item.remove();
      this.lines.delete(id);
    }
    jobs.forEach((job, at) => {
      if (!this.lines.has(job.id)) this.lines.set(job.id, this.#line(job.id));
      const { item, parts } = this.lines.get(job.id);
      if (this.list.children[at] !== item) this.list.insertBefore(item, this.list.children[at] ?? null);
      showLine(parts, job);
    });
  }

  #line(id) {
    const { root, parts } = template("job-line");
    const line = { item: root.firstElementChild, parts };
    const act = (part, action) =>
      parts[part].addEventListener("click", async () => {
        await attempt(action);
        this.changed();
      });
    act("cancel", () => post(jobPath(id, "/cancel")));
    act("resume", () => post(jobPath(id, "/resume")));
    act("delete", async () => {
      const name = parts.name.textContent;
      if (await confirmed(text("jobs.deleteSure", { name }), text("jobs.delete"))) {
        await remove(jobPath(id));
      }
    });
    return line;
  }
}

function showLine(parts, job) {
  parts.name.textContent = job.name;
  parts.name.href = `#/jobs/${encodeURIComponent(job.id)}`;
  showProgress(parts, job);
  for (const part of ["cancel", "resume", "delete"]) {
    parts[part].setAttribute("aria-label", text(`jobs.${part}Of`, { name: job.name }));
  }
  parts.cancel.hidden = ENDED.includes(job.state);
  parts.resume.hidden = !["failed", "cancelled"].includes(job.state);
  parts.delete.hidden = !ENDED.includes(job.state);
}

/** State, bar, times and error of a job: in its line here, and alone in its own view. */
export function showProgress(parts, job) {
  parts.state.textContent = text(`state.${job.state}`);
  parts.state.dataset.state = job.state;
  parts.facts.textContent = factsOf(job).join(" · ");
  parts.bar.hidden = job.state !== "running";
  parts.bar.setAttribute("aria-label", text("jobs.progress", { name: job.name }));
  if (job.progress.of > 0) parts.bar.value = job.progress.done / job.progress.of;
  else parts.bar.removeAttribute("value");
  tell(parts.error, job.state === "failed" ? job.error : null);
}

function factsOf(job) {
  const facts = [when(job.ended ?? job.started ?? job.created)];
  if (job.state === "waiting" && job.position) facts.push(text("jobs.position", { count: job.position }));
  if (job.state === "running" && job.progress.of > 0) {
    facts.push(percent(job.progress.done / job.progress.of), text("jobs.windows", job.progress));
  }
  if (job.state === "done") facts.push(text("corrections", { count: job.corrected }));
  if (job.notes.length) facts.push(text("jobs.notes", { count: job.notes.length }));
  return facts;
}
