// Draws one picture: an axis, the boundaries between phases, and a chart row for every series and state.
const SERIES = 17, STATE = 15, GAP = 4, HEAD = 20, TEXT = 6.6, FLAG = 15;

class Picture {
  constructor(svg, data, view) {
    Object.assign(this, { svg, data, view });
    view.listeners.push(() => this.draw());
  }

  layout() {
    this.width = Math.max(300, this.svg.parentNode.clientWidth || 1000);
    this.narrow = this.width < 640;
    this.left = this.narrow ? 0 : 168;
    this.chartRows = [];
    const flags = this.flags();
    let y = 24 + (1 + Math.max(-1, ...flags.map((flag) => flag.row))) * FLAG, group = "";
    this.top = y;
    for (const chartRow of this.data.chart_rows) {
      if (chartRow.group !== group) {
        group = chartRow.group;
        this.chartRows.push({ heading: group === "states" ? "nodes, virtual address, probe, balancer" : group, y });
        y += HEAD;
      }
      const height = chartRow.group === "states" ? STATE : SERIES;
      if (this.narrow) y += 16;
      this.chartRows.push({ chartRow, y, height });
      y += height + GAP;
    }
    if (this.data.log.length) {
      this.chartRows.push({ heading: "log lines", y });
      y += HEAD;
      this.chartRows.push({ log: true, y, height: 12 });
      y += 12 + GAP;
    }
    this.bottom = y;
    this.height = y + 22;
    return flags;
  }

  x(at) { return this.left + ((at - this.view.from) / this.view.span) * (this.width - this.left); }
  at(x) { return this.view.from + ((x - this.left) / (this.width - this.left)) * this.view.span; }

  // The flags of the boundaries in as few rows as they fit into without touching each other.
  flags() {
    const ends = [];
    const wanted = [[0, "disruption", 0], ...this.data.marks, ["", "budget", this.data.budget]];
    return wanted.filter(([, , at]) => at >= this.view.from && at <= this.view.to).sort((a, b) => a[2] - b[2]).map(([number, name, at]) => {
      const words = number ? number + " " + name : name;
      const length = words.length * TEXT + 8, x = this.x(at);
      const left = Math.min(x, this.width - length);
      let row = ends.findIndex((end) => end <= left);
      if (row < 0) row = ends.length;
      ends[row] = left + length;
      return { words, x, left, row, kind: number === 0 ? "zero" : number === "" ? "budget" : "phase" };
    });
  }

  draw() {
    this.svg.replaceChildren();
    const flags = this.layout();
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.dataset.scale = this.view.scale.toFixed(4);
    this.axis();
    for (const row of this.chartRows) {
      if (row.heading) this.svg.append(element("text", { class: "group", x: 0, y: row.y + 14 }, row.heading));
      else if (row.log) this.logLane(row);
      else this.chartRow(row);
    }
    for (const flag of flags) {
      const y = 20 + flag.row * FLAG;
      this.svg.append(element("line", { class: "mark " + flag.kind, x1: flag.x, x2: flag.x, y1: y - 4, y2: this.bottom }));
      this.svg.append(element("text", { class: "flag " + flag.kind, x: flag.left + 3, y: y + 8 }, flag.words));
    }
    this.line = element("line", { class: "cursor", y1: 18, y2: this.bottom });
    this.svg.append(this.line);
    this.moveCursor();
  }

  moveCursor() {
    const x = this.x(this.view.cursor), inside = x >= this.left && x <= this.width;
    this.line.setAttribute("visibility", inside ? "visible" : "hidden");
    this.line.setAttribute("x1", x);
    this.line.setAttribute("x2", x);
  }

  axis() {
    const step = niceStep(this.view.span, (this.width - this.left) / 84);
    const digits = Math.max(0, Math.min(4, -Math.floor(Math.log10(step / 1000) + 1e-9)));
    for (let tick = Math.ceil(this.view.from / step); tick * step <= this.view.to; tick += 1) {
      const x = this.x(tick * step);
      this.svg.append(element("line", { class: "grid", x1: x, x2: x, y1: 16, y2: this.bottom }));
      if (x < this.left + 16 || x > this.width - 24) continue;
      const words = tick === 0 ? "0" : asSeconds(tick * step, digits);
      this.svg.append(element("text", { class: "tick", x, y: 11 }, words), element("text", { class: "tick", x, y: this.bottom + 15 }, words));
    }
  }

  chartRow({ chartRow, y, height }) {
    const group = element("g", { class: "chart-row" });
    group.append(element("title", {}, chartRow.about));
    const label = this.narrow ? { x: 0, y: y - 4 } : { x: 8, y: y + height - 4 };
    group.append(element("text", { class: "label", ...label }, chartRow.name));
    group.append(element("rect", { class: "empty", x: this.left, y, width: this.width - this.left, height }));
    const shown = this.visibleRows(chartRow.rows);
    // What is good first, so that the shortest fault still shows on top of it.
    for (const fault of [false, true]) {
      for (const [start, end, state] of shown) {
        const css = this.data.states[state][0];
        if (FAULTS.has(css) === fault) this.bar(group, start, end, y, height, css, this.data.states[state][1]);
      }
    }
    this.svg.append(group);
  }

  bar(group, start, end, y, height, css, words) {
    const x1 = Math.max(this.left, this.x(start)), x2 = Math.min(this.width, this.x(end));
    const width = Math.max(x2 - x1, FAULTS.has(css) ? 2 : 0.6);
    paint(group, css, x1, y, width, height);
    if (words.length * TEXT + 8 < width) {
      group.append(element("text", { class: "in " + css, x: (x1 + 5).toFixed(2), y: y + height - 4 }, words));
    }
  }

  // Rows inside the window; of those that fall into one half pixel, the first of each state only.
  visibleRows(rows) {
    const found = [], seen = new Map(), grain = this.view.span / (this.width - this.left) / 2;
    for (let i = 0; i < rows.length; i += 3) {
      const [start, end, state] = [rows[i], rows[i + 1], rows[i + 2]];
      if (end < this.view.from || start > this.view.to) continue;
      if (end - start < grain) {
        if (start - (seen.has(state) ? seen.get(state) : -Infinity) < grain) continue;
        seen.set(state, start);
      }
      found.push([start, end, state]);
    }
    return found;
  }

  logLane({ y, height }) {
    const group = element("g", { class: "chart-row log" });
    let last = -1;
    for (const [at] of this.data.log) {
      const x = this.x(at);
      if (x < this.left || x > this.width || x - last < 1) continue;
      last = x;
      group.append(element("line", { class: "entry", x1: x, x2: x, y1: y, y2: y + height }));
    }
    this.svg.append(group);
  }
}

function niceStep(span, ticks) {
  const rough = span / Math.max(1, ticks), power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}
