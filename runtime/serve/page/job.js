// One job: how far it is, and its map once there is one.

import { attempt } from "./announce.js";
import { get, jobPath, post } from "./api.js";
import { tell, template } from "./dom.js";
import { showProgress } from "./jobs.js";
import { note } from "./totals.js";
import { showMap } from "./mapview.js";
import { repeat } from "./repeat.js";
import { text } from "./text.js";

/** Fill the place; returns what ends it. */
export function showJob(place, id) {
  let leaveMap = () => {};
  let left = false;
  const { root, parts } = template("waiting");
  for (const action of ["cancel", "resume"]) {
    parts[action].addEventListener("click", async () => {
      await attempt(() => post(jobPath(id, `/${action}`)));
      again.now();
    });
  }
  place.replaceChildren(root);
  const again = repeat(async () => {
    try {
      const job = await get(jobPath(id));
      document.title = text("job.title", { name: job.name });
      parts.name.textContent = job.name;
      showProgress(parts, job);
      parts.notes.replaceChildren(...job.notes.map(note));
      parts.cancel.hidden = !["waiting", "running"].includes(job.state);
      parts.resume.hidden = !["failed", "cancelled"].includes(job.state);
      if (job.state !== "done") return 1000;
      const [scene, summary, drawn] = await Promise.all(
        ["/map", "/summary", "/drawn"].map((rest) => get(jobPath(id, rest))),
      );
      if (!left) leaveMap = showMap(place, job, scene, summary, drawn);
      return null;
    } catch (error) {
      if (error.status !== 401) tell(parts.error, error.message);
      return error.status === 404 ? null : 3000;
    }
  });
  return () => {
    left = true;
    again.stop();
    leaveMap();
  };
}
