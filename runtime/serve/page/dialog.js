// A dialog of the browser's own: focus stays in it, Escape closes it.

import { template } from "./dom.js";

/** Show what a template holds; the value of the button that closed it, "" for Escape. */
export function openDialog(root) {
  const dialog = root.querySelector("dialog");
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
  });
}

/** Does the user mean it? `line` says what happens, `action` is the button's word. */
export async function confirmed(line, action) {
  const { root, parts } = template("confirm-dialog");
  parts.line.textContent = line;
  parts.ok.textContent = action;
  return (await openDialog(root)) === "ok";
}
