// What can be taken along: the map's own files, and those made out of the corrections.

import { announce, attempt } from "./announce.js";
import { file, get, jobPath } from "./api.js";
import { make } from "./dom.js";
import { bytes, text } from "./text.js";

/** Made when asked for; the second is the key of a line about it. */
const MADE = [
  ["sheet.html", "files.sheetHtml"],
  ["sheet.pdf", "files.sheetPdf"],
  ["labels.zip", "files.labels"],
];

/** The files that have a line about what they hold, by the beginning of their name. */
const TOLD = ["buildings", "corrections", "damage", "confidence", "quality", "overlay", "summary"];

export function showFiles(parts, work) {
  const { id } = work.job;
  for (const [name, key] of MADE) {
    const item = link(jobPath(id, `/${name}`), name, text(key), null);
    item.querySelector("a").addEventListener("click", (event) => {
      event.preventDefault();
      attempt(() => take(event.target));
    });
    parts.made.append(item);
  }
  const show = async () => {
    const files = await attempt(() => get(jobPath(id, "/files")));
    if (!files) return;
    parts.files.replaceChildren(
      ...files.map(({ name, bytes: size }) => {
        const path = jobPath(id, `/files/${encodeURIComponent(name)}`);
        const known = TOLD.find((stem) => name.startsWith(`${stem}.`));
        return link(path, name, known ? text(`file.${known}`) : null, size);
      }),
    );
  };
  work.addEventListener("totals", show);
  show();
}

/** Fetched before it is saved, so that a refusal is told and not saved. */
async function take(anchor) {
  announce(text("files.making", { name: anchor.download }));
  const address = URL.createObjectURL(await file(anchor.href));
  const saved = make("a", { href: address, download: anchor.download });
  saved.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

function link(path, name, about, size) {
  return make(
    "li",
    {},
    make("a", { href: path, download: name, text: name }),
    about ? make("span", { class: "about quiet small", text: about }) : null,
    size === null ? null : make("span", { class: "quiet small figure", text: bytes(size) }),
  );
}
