// Without this script the pictures stand side by side.
// With it they lie on each other: 0 shows the image before, 50 the one after, 100 the map.
for (const slider of document.querySelectorAll(".slider")) {
  const maps = [...slider.querySelectorAll(".map")];
  const after = slider.querySelector(".after");
  const name = slider.querySelector("h3").textContent;

  const range = document.createElement("input");
  Object.assign(range, { type: "range", min: 0, max: 100, value: 75 });
  range.setAttribute("aria-label", `${name}: before, after, map`);
  const marks = document.createElement("div");
  marks.className = "marks";
  for (const text of ["before", "after", "map"]) {
    marks.append(Object.assign(document.createElement("span"), { textContent: text }));
  }
  const picks = document.createElement("fieldset");
  picks.className = "picks";
  for (const map of maps) {
    const choice = document.createElement("input");
    Object.assign(choice, { type: "radio", name, checked: map.dataset.name === slider.dataset.first });
    choice.addEventListener("change", () => pick(map));
    const label = document.createElement("label");
    label.append(choice, map.dataset.name);
    picks.append(label);
    if (choice.checked) pick(map);
  }
  range.addEventListener("input", show);
  slider.append(range, marks, picks);
  slider.classList.add("on");
  show();

  function pick(chosen) {
    for (const map of maps) map.classList.toggle("picked", map === chosen);
  }
  function show() {
    const at = Number(range.value) * 2;
    after.style.setProperty("--shown", `${Math.min(at, 100)}%`);
    for (const map of maps) map.style.setProperty("--shown", `${Math.max(at - 100, 0)}%`);
  }
}
