// Pairs that somebody put into the box's inbox folder.

import { attempt } from "./announce.js";
import { post } from "./api.js";
import { make } from "./dom.js";
import { text } from "./text.js";

let shown = "";

export function showInbox(parts, pairs, started) {
  parts.inbox.hidden = pairs.length === 0;
  const now = JSON.stringify(pairs);
  if (now === shown && parts.pairs.childElementCount === pairs.length) return; // keeps the focus
  shown = now;
  parts.pairs.replaceChildren(
    ...pairs.map((pair) => {
      const go = make("button", {
        text: text("inbox.go"),
        "aria-label": text("inbox.goOf", { name: pair.name }),
        onclick: async () => {
          go.disabled = true;
          const job = await attempt(() => post("/api/jobs", { pair: pair.name }));
          go.disabled = false;
          if (job) started(job);
        },
      });
      return make(
        "li",
        { class: "job-line" },
        make(
          "div",
          { class: "grow" },
          make("span", { class: "job-name", text: pair.name }),
          make("p", { class: "quiet small", text: text("inbox.files", pair) }),
        ),
        go,
      );
    }),
  );
}
