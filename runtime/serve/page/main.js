// The page: which view is shown, by the part of the address behind #.

import { access } from "./api.js";
import { showJob } from "./job.js";
import { showStart } from "./start.js";
import { fill, loadText, text } from "./text.js";
import { showToken } from "./token.js";

const place = document.getElementById("view");
let leave = () => {};
let asking = false;

function show() {
  leave();
  leave = () => {};
  document.title = text("title");
  document.getElementById("told").hidden = true;
  const job = location.hash.match(/^#\/jobs\/(.+)$/);
  leave = job ? showJob(place, decodeURIComponent(job[1])) : showStart(place);
}

access.refused = () => {
  if (asking) return;
  asking = true;
  leave();
  leave = () => {};
  showToken(place, () => {
    asking = false;
    show();
  });
};

await loadText();
fill(document);
window.addEventListener("hashchange", show);
show();
