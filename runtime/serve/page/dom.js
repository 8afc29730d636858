// Elements without markup: what comes from outside is text and can be nothing else.

import { fill } from "./text.js";

/** A new element. Properties: `text`, `class`, `onclick` and other listeners, attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (name === "class") element.className = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** A copy of a template of index.html with its words, and its parts by their `data-part`. */
export function template(name) {
  const root = document.getElementById(name).content.cloneNode(true);
  fill(root);
  const parts = {};
  for (const element of root.querySelectorAll("[data-part]")) parts[element.dataset.part] = element;
  return { root, parts };
}

/** Show an element with this text, or hide it where there is none. */
export function tell(element, line) {
  element.textContent = line ?? "";
  element.hidden = !line;
}

/** Black or white, what is easier to read on a colour "#rrggbb". */
export function inkOn(colour) {
  const channel = (at) => {
    const value = parseInt(colour.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const light = 0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5);
  return light > 0.179 ? "#111111" : "#ffffff";
}

/** Call the function once, `wait` milliseconds after the last of several calls. */
export function settled(wait, action) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => action(...given), wait);
  };
}
