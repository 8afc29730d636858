// What can be taken along: the map's own files, and those made out of the corrections.

import { attempt } from "./announce.js";
import { get, jobPath } from "./api.js";
import { make } from "./dom.js";
import { bytes, text } from "./text.js";

const MADE = [
  ["sheet.html", "files.sheetHtml"],
  ["sheet.pdf", "files.sheetPdf"],
  ["labels.zip", "files.labels"],
];

/** The files that have a line about what they hold, by the beginning of their name. */
const TOLD = ["buildings", "corrections", "damage", "confidence", "quality", "overlay", "summary"];

export function showFiles(parts, work) {
  const { id } = work.job;
  parts.made.append(
    ...MADE.map(([name, key]) => link(jobPath(id, `/${name}`), name, text(key), null)),
  );
  const show = async () => {
    const files = await attempt(() => get(jobPath(id, "/files")));
    if (!files) return;
    parts.files.replaceChildren(
      ...files.map((file) => {
        const path = jobPath(id, `/files/${file.name.split("/").map(encodeURIComponent).join("/")}`);
        const known = TOLD.find((stem) => file.name.startsWith(`${stem}.`));
        return link(path, file.name, known ? text(`file.${known}`) : null, file.bytes);
      }),
    );
  };
  work.addEventListener("totals", show);
  show();
}

function link(path, name, about, size) {
  return make(
    "li",
    {},
    make("a", { href: path, download: name.split("/").at(-1), text: name }),
    about ? make("span", { class: "about quiet small", text: about }) : null,
    size === null ? null : make("span", { class: "quiet small figure", text: bytes(size) }),
  );
}
