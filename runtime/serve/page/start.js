// The first view: a new pair by upload, pairs lying in the inbox, and the jobs.

import { get } from "./api.js";
import { attempt } from "./announce.js";
import { tell, template } from "./dom.js";
import { JobLines } from "./jobs.js";
import { PairForm } from "./pair.js";
import { repeat } from "./repeat.js";
import { showInbox } from "./inbox.js";
import { bytes, text } from "./text.js";

/** Fill the place; returns what ends it. */
export function showStart(place) {
  const { root, parts } = template("start");
  const lines = new JobLines(parts, () => again.now());
  const started = (job) => {
    location.hash = `#/jobs/${encodeURIComponent(job.id)}`;
  };
  const form = new PairForm(parts, started);
  place.replaceChildren(root);
  attempt(async () => form.allow(await get("/api/limits")));
  const again = repeat(async () => {
    try {
      const [jobs, pairs, health] = await Promise.all(
        ["/api/jobs", "/api/pairs", "/api/health"].map((path) => get(path)),
      );
      lines.show(jobs);
      showInbox(parts, pairs, started);
      tell(parts.box, boxLine(health));
      tell(parts.error, health.trouble);
      return jobs.some((job) => ["waiting", "running"].includes(job.state)) ? 1500 : 8000;
    } catch (error) {
      if (error.status !== 401) tell(parts.error, error.message);
      return 5000;
    }
  });
  return () => {
    again.stop();
    form.leave();
  };
}

function boxLine(health) {
  const { name, precision } = health.engine;
  return text("box", { engine: name, precision, free: bytes(health.free_bytes) });
}
