"use strict";
(() => {
  const HEIGHT = 84, TOP = 6, BOTTOM = 14, NEVER = -1;
  const NAMES = {p: "passed", f: "failed", i: "could not be judged", s: "skipped", n: "nothing was measured"};
  const data = JSON.parse(document.getElementById("data").textContent);

  const spread = (pairs) => pairs.flatMap(([value, times]) => Array(times).fill(value));
  const seconds = (ms) => ms === NEVER ? "never" : (ms / 1000).toFixed(2) + " s";

  function lineOf(number) {
    const line = data.lines[number];
    if (!line.places) {
      let at = 0;
      line.places = line.r.map((step) => at += step);
      line.budgets = spread(line.b);
      line.numbers = spread(line.n);
      line.changes = new Map(line.c);
    }
    return line;
  }

  function element(name, attributes, parent) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    parent.append(made);
    return made;
  }

  function draw(box) {
    const line = lineOf(box.dataset.line), width = Math.max(box.clientWidth, 40);
    const first = line.places[0], last = line.places[line.places.length - 1];
    const x = (run) => last === first ? width / 2 : 4 + (run - first) / (last - first) * (width - 8);
    let most = 1;  // a budget that is far above everything would press the figures flat: it is drawn at the edge then
    for (const value of line.h) if (value > most) most = value;
    const near = line.budgets.filter((budget) => budget <= 4 * most);
    for (const budget of near) if (budget > most) most = budget;
    const y = (ms) => ms === NEVER ? TOP / 2 : HEIGHT - BOTTOM - Math.min(1, ms / most) * (HEIGHT - TOP - BOTTOM);
    let bars = "", median = "", budget = "", failed = "", unclear = "", open = false;
    line.places.forEach((run, place) => {
      const at = x(run).toFixed(1), value = line.m[place];
      if (line.l[place] !== null) bars += `M${at} ${y(line.l[place]).toFixed(1)}V${y(line.h[place]).toFixed(1)}`;
      if (value !== null) { median += (open ? "L" : "M") + at + " " + y(value).toFixed(1); open = true; } else open = false;
      budget += (place ? "L" : "M") + at + " " + y(line.budgets[place]).toFixed(1);
      const cross = `M${at - 3} ${HEIGHT - 11}l6 6m0 -6l-6 6`;
      if (line.o[place] === "f") failed += cross;
      if (line.o[place] === "i" || line.o[place] === "n") unclear += `M${at - 3} ${HEIGHT - 8}h6`;
    });
    if (line.places.length === 1) median += "h4";
    const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    svg.setAttribute("preserveAspectRatio", "none");
    const changes = line.c.map(([run]) => `M${x(run).toFixed(1)} 0V${HEIGHT - BOTTOM}`).join("");
    for (const [name, path] of [["spread", bars], ["budget", budget], ["change", changes], ["median", median], ["fail", failed], ["inconclusive", unclear]])
      if (path) element("path", {class: name, d: path}, svg);
    box.cursor = element("path", {class: "cursor", d: ""}, svg);
    element("text", {x: 0, y: TOP + 6}, svg).textContent = seconds(most);
    box.replaceChildren(svg);
    box.x = x;
    box.drawn = width;
  }

  function choose(box, place) {
    const line = lineOf(box.dataset.line);
    box.place = Math.max(0, Math.min(line.places.length - 1, place));
    const run = line.places[box.place], [when, folder, , report] = data.runs[run];
    const at = box.x(run).toFixed(1), told = box.parentElement.querySelector(".told");
    box.cursor.setAttribute("d", `M${at} 0V${HEIGHT - BOTTOM}`);
    const value = line.m[box.place], number = line.numbers[box.place];
    const figures = number === 0 ? "no figure" : `median ${seconds(value)} (${seconds(line.l[box.place] ?? NEVER)} to ${seconds(line.h[box.place])}, ${number} repeats)`;
    const outcome = line.o[box.place];
    const words = outcome === "n" ? `${when}: ${NAMES.n}` : `${when}: ${figures}, ${seconds(line.budgets[box.place])} allowed, ${NAMES[outcome]}`;
    const change = line.changes.get(run);
    told.replaceChildren(words + (change ? `; ${change}` : "") + " ");
    if (report === 1) {
      const link = document.createElement("a");
      link.href = encodeURIComponent(folder) + "/report.html";
      link.textContent = "report";
      told.append(link);
    } else told.append(report === 2 ? `(its page is no longer there; lkharness report ${folder}, in this folder, makes it again)` : "(its report is gone)");
  }

  function nearest(box, event) {
    const line = lineOf(box.dataset.line), bounds = box.getBoundingClientRect();
    const at = event.clientX - bounds.left;
    let best = 0;
    line.places.forEach((run, place) => { if (Math.abs(box.x(run) - at) < Math.abs(box.x(line.places[best]) - at)) best = place; });
    return best;
  }

  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting && !entry.target.drawn) draw(entry.target);
  }, {rootMargin: "200px"});

  for (const box of document.querySelectorAll(".strip-of-nights")) {
    seen.observe(box);
    box.addEventListener("pointerdown", (event) => { if (box.drawn) choose(box, nearest(box, event)); });
    box.addEventListener("pointermove", (event) => { if (box.drawn && event.pointerType === "mouse" && event.buttons === 0 && !box.held) choose(box, nearest(box, event)); });
    box.addEventListener("click", () => { box.held = !box.held; });  // held, so that the link can be reached
    box.addEventListener("keydown", (event) => {
      const step = {ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity}[event.key];
      if (step === undefined || !box.drawn) return;
      event.preventDefault();
      choose(box, (box.place ?? lineOf(box.dataset.line).places.length) + step);
    });
  }

  let waiting = 0;
  addEventListener("resize", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => {
      for (const box of document.querySelectorAll(".strip-of-nights")) if (box.drawn && box.clientWidth && box.drawn !== box.clientWidth) draw(box);
    });
  });
})();
