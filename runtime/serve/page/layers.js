// Which picture is shown, what lies over it, and how strongly.

import { make } from "./dom.js";
import { text } from "./text.js";

const BASES = ["compare", "before", "after"];

export function showLayers(parts, scene, swipe, outlines) {
  const overlays = [...Object.keys(scene.layers).filter((name) => !BASES.includes(name)), "none"];
  const radios = [
    ...choices(parts.bases, "base", BASES, scene),
    ...choices(parts.overlays, "over", overlays, scene),
  ];
  const show = () => {
    for (const input of radios) {
      input.checked = scene[input.name] === input.value;
      input.disabled = scene.hidden.includes(input.value);
    }
    parts.hidden.hidden = scene.hidden.length === 0;
    parts.opacity.disabled = scene.over === "none";
  };
  parts.opacity.value = String(100 * scene.opacity);
  parts.opacity.addEventListener("input", () => {
    scene.opacity = parts.opacity.value / 100;
    scene.arrange();
  });
  parts.outlines.addEventListener("change", () => outlines.show(parts.outlines.checked));
  parts.whole.addEventListener("click", () => scene.all());
  scene.onArranged(show);
  show();
}

function choices(place, name, values, scene) {
  return values.map((value) => {
    const input = make("input", { type: "radio", name, value });
    input.addEventListener("change", () => {
      scene[name] = value;
      scene.arrange();
    });
    const label = make("span", { text: text(`layer.${value}`) });
    place.append(make("label", { class: "check" }, input, label));
    return input;
  });
}
