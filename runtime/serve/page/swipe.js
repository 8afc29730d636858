// The divider between before and after: by mouse, finger and arrow keys.

const STEP = 0.05;

export class Swipe {
  constructor(divider, scene) {
    this.divider = divider;
    this.scene = scene;
    divider.addEventListener("pointerdown", (event) => {
      divider.setPointerCapture(event.pointerId);
      event.preventDefault();
      divider.focus();
    });
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const { left, width } = scene.map.getContainer().getBoundingClientRect();
      this.move((event.clientX - left) / width);
    });
    divider.addEventListener("keydown", (event) => {
      const now = scene.divider;
      const to = {
        ArrowLeft: now - STEP,
        ArrowDown: now - STEP,
        ArrowRight: now + STEP,
        ArrowUp: now + STEP,
        Home: 0,
        End: 1,
      }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.move(to);
    });
    scene.map.on("move zoomend resize viewreset", () => this.#clip());
    scene.onArranged(() => this.#clip());
    this.move(scene.divider);
  }

  /** Before and after by turns, to see what blinks. */
  blink() {
    this.scene.base = this.scene.base === "before" ? "after" : "before";
    this.scene.arrange();
  }

  compare() {
    this.scene.base = "compare";
    this.scene.arrange();
  }

  move(share) {
    const within = Math.min(1, Math.max(0, share));
    this.scene.divider = within;
    this.divider.style.left = `${100 * within}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(100 * within)));
    this.#clip();
  }

  #clip() {
    const { map, base, over } = this.scene;
    const both = base === "compare";
    this.divider.hidden = !both;
    const size = map.getSize();
    const from = map.containerPointToLayerPoint([0, 0]);
    const to = map.containerPointToLayerPoint(size);
    const middle = from.x + size.x * this.scene.divider;
    const box = (left, right) =>
      `polygon(${left}px ${from.y}px, ${right}px ${from.y}px, ${right}px ${to.y}px, ${left}px ${to.y}px)`;
    for (const name of Object.keys(this.scene.layers)) {
      const { style } = map.getPane(`layer-${name}`);
      if (!both) style.clipPath = "";
      else if (name === "before") style.clipPath = box(from.x, middle);
      else if (name === "after" || name === over) style.clipPath = box(middle, to.x);
    }
  }
}
