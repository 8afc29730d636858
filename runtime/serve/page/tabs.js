// The panel's pages behind tabs; on a small screen a sheet below the map that can be made taller.

import { make, template } from "./dom.js";
import { text } from "./text.js";

/** Fill tabs and pages from the templates of these names; their parts by name. */
export function showTabs(parts, names) {
  const pages = {};
  const tabs = names.map((name) => {
    const { root, parts: own } = template(name);
    pages[name] = own;
    const page = make("div", { role: "tabpanel", id: `page-${name}`, class: `page ${name}`, tabindex: "0" }, root);
    page.setAttribute("aria-labelledby", `tab-${name}`);
    parts.pages.append(page);
    const tab = make("button", {
      role: "tab",
      id: `tab-${name}`,
      "aria-controls": page.id,
      text: text(`tab.${name}`),
      onclick: () => choose(tab),
    });
    parts.tabs.append(tab);
    return tab;
  });
  const choose = (chosen) => {
    for (const tab of tabs) {
      const now = tab === chosen;
      tab.setAttribute("aria-selected", String(now));
      tab.tabIndex = now ? 0 : -1;
      parts.pages.querySelector(`#${tab.getAttribute("aria-controls")}`).hidden = !now;
    }
  };
  parts.tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
    choose(next);
    next.focus();
  });
  parts.taller.addEventListener("click", () => {
    const tall = parts.panel.parentElement.classList.toggle("tall");
    parts.taller.setAttribute("aria-expanded", String(tall));
  });
  choose(tabs[0]);
  return pages;
}
