// Who corrects: asked once, kept in this browser, and told with each correction.

import { template } from "./dom.js";
import { recall, remember } from "./storage.js";
import { openDialog } from "./dialog.js";

export const who = () => recall("who", "");

/** The name, asked for where it is not known yet; "" where nobody wants to tell. */
export async function askWho({ again = false } = {}) {
  if (who() && !again) return who();
  const { root, parts } = template("who-dialog");
  parts.name.value = who();
  const answer = await openDialog(root);
  const name = parts.name.value.trim();
  if (answer === "ok" && name) remember("who", name);
  return who();
}
