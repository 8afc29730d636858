// Ground that was not computed, hatched whichever layer is shown: it never looks like "no damage".

import { jobPath } from "./api.js";

const L = window.L;

const STEP = 8; // pixels from one line of the hatching to the next

/** The entry of the legend for what was not computed. */
export const holeEntry = (legend) => legend.find((entry) => /^not.computed$/.test(entry.class));

export function holesLayer(work, map, bounds) {
  const pane = map.createPane("holes");
  pane.style.zIndex = "390";
  pane.style.pointerEvents = "none";
  const colour = holeEntry(work.scene.legend)?.colour ?? "#ff00ff";
  const rgb = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  const Hatched = L.GridLayer.extend({
    createTile({ x, y, z }, done) {
      const size = work.scene.tile;
      const canvas = L.DomUtil.create("canvas", "leaflet-tile");
      canvas.width = canvas.height = size;
      const image = new Image();
      image.onload = () => {
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0);
        hatch(context, size, rgb);
        done(null, canvas);
      };
      image.onerror = () => done(new Error(image.src), canvas);
      image.src = jobPath(work.job.id, `/tiles/damage/${z}/${x}/${y}.png`);
      return canvas;
    },
  });
  return new Hatched({
    pane: "holes",
    bounds,
    tileSize: work.scene.tile,
    maxNativeZoom: work.scene.max_zoom,
    noWrap: true,
  });
}

/** Keep pixels of the colour as black and white lines, and nothing else. */
function hatch(context, size, [red, green, blue]) {
  const pixels = context.getImageData(0, 0, size, size);
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) {
    const known =
      data[at] !== red || data[at + 1] !== green || data[at + 2] !== blue || data[at + 3] === 0;
    const line = ((at / 4) % size + Math.floor(at / 4 / size)) % STEP;
    const level = line < STEP / 2 ? 40 : 225;
    data.set(known ? [0, 0, 0, 0] : [level, level, level, 255], at);
  }
  context.putImageData(pixels, 0, 0);
}
