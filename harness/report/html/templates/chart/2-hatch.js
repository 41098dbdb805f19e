// Paints a stretch of one state. Hatching tells states apart without colour, on paper and for every eye. It is drawn as lines and not
// as SVG patterns, which browsers turn into megabytes when they print.
const HATCH = {
  silent: (box) => slanted(box, 7, 1),
  down: (box) => slanted(box, 9, -1),
  refused: (box) => slanted(box, 8, 1) + slanted(box, 8, -1),
  reset: (box) => dots(box, 6),
  unreachable: ({ x, y, width, height }) => [0.2, 0.5, 0.8].map((part) => `M${x} ${y + height * part}h${width}`).join(""),
  wrong: ({ x, y, width, height }) => every(8, x, x + width).map((at) => `M${at} ${y}v${height}`).join(""),
};

function paint(place, css, x, y, width, height) {
  const box = { x: round(x), y, width: round(width), height };
  place.append(element("rect", { class: "seg " + css, ...box }));
  const lines = HATCH[css] && width >= 2.5 ? HATCH[css](box) : "";
  if (lines) place.append(element("path", { class: "hatch " + css, d: lines }));
}

// Lines at 45 degrees, cut off at the box; they begin on a grid of the whole picture, so that neighbours match.
function slanted({ x, y, width, height }, step, direction) {
  let found = "";
  for (const at of every(step, x - height, x + width)) {
    const left = Math.max(at, x), right = Math.min(at + height, x + width);
    if (right - left < 0.5) continue;
    const low = direction > 0 ? y + height - (left - at) : y + (left - at);
    found += `M${round(left)} ${round(low)}L${round(right)} ${round(low - direction * (right - left))}`;
  }
  return found;
}

function dots({ x, y, width, height }, step) {
  const rows = [0.28, 0.72].map((part) => round(y + height * part));
  return every(step, x + 1.5, x + width - 1.5).map((at, i) => `M${at} ${rows[i % 2]}h0`).join("");
}

function every(step, from, to) {
  const found = [];
  for (let at = Math.ceil(from / step) * step; at < to; at += step) found.push(round(at));
  return found;
}

function round(value) { return Math.round(value * 100) / 100; }
