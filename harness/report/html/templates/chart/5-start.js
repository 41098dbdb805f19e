// Every picture is made when it is first needed: its card is opened, or the page goes to paper.
function begin(figure) {
  if (figure.dataset.drawn) return;
  figure.dataset.drawn = "yes";
  const data = JSON.parse(figure.querySelector("script").textContent);
  const view = new View(data);
  const svg = figure.querySelector(".chart svg");
  const picture = new Picture(svg, data, view);
  const moment = new Moment(figure.querySelector(".moment"), data, view);
  legend(figure.querySelector(".legend"), data);
  figure.classList.add("ready");
  listen(figure, svg, picture, view);
  figure.redraw = () => picture.draw();
  picture.draw();
  moment.draw();
  new ResizeObserver(() => { if (Math.abs(svg.parentNode.clientWidth - picture.width) > 1) view.tell(); }).observe(svg.parentNode);
}

function legend(place, data) {
  const shown = new Map();
  for (const [css, words] of data.states) {
    const kind = css.startsWith("node") ? "answered by, or at, " + words : LEGEND[css];
    if (kind) shown.set(css, kind);
  }
  for (const [css, words] of [...shown].sort()) {
    const swatch = element("svg", { class: "swatch", viewBox: "0 0 14 10" });
    paint(swatch, css, 0, 0, 14, 10);
    const item = element("span");
    item.append(swatch, " " + words);
    place.append(item);
  }
}

const LEGEND = {
  silent: "silent", refused: "refused", reset: "reset", unreachable: "unreachable", wrong: "the wrong node, or both",
  gap: "not tried, or not known", up: "up", down: "down, or nowhere",
};

const figures = [...document.querySelectorAll("figure.chart-rows")];
for (const figure of figures) {
  const card = figure.closest("details");
  if (card && !card.open) card.addEventListener("toggle", () => begin(figure), { once: true });
  else begin(figure);
}

// A link to a card opens it.
function openTarget() {
  const card = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (card && card.tagName === "DETAILS") { card.open = true; card.scrollIntoView(); }
}
addEventListener("hashchange", openTarget);
document.addEventListener("click", (event) => {
  const link = event.target.closest && event.target.closest('a[href^="#"]');
  if (link && link.hash === location.hash) openTarget();
});
openTarget();

addEventListener("beforeprint", () => figures.forEach((figure) => { begin(figure); figure.redraw(); }));
