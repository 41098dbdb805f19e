// What the cursor points at: the state of every chart row at that moment, and the log lines around it.
const AROUND = 9;

class Moment {
  constructor(panel, data, view) {
    Object.assign(this, { panel, data, view });
    this.when = element("div", { class: "when" });
    this.states = element("dl", { class: "now" });
    this.log = element("ol", { class: "around" });
    this.panel.append(this.when, this.log, this.states);
    view.listeners.push(() => this.draw());
  }

  draw() {
    const at = this.view.cursor;
    this.when.replaceChildren(element("b", {}, asSeconds(at)));
    this.when.append(" from the disruption" + this.phase(at), element("span", { class: "soft" }, this.view.pinned ? " · held, click to release" : ""));
    this.states.replaceChildren(...this.data.chart_rows.flatMap((chartRow) => {
      const [css, words] = this.stateAt(chartRow.rows, at);
      const swatch = element("svg", { class: "swatch", viewBox: "0 0 14 10" });
      paint(swatch, css, 0, 0, 14, 10);
      const name = chartRow.group === "states" ? chartRow.name : chartRow.group.split(" ")[0] + " " + chartRow.name;
      const said = element("dd", { class: css });
      said.append(swatch, " " + words);
      return [element("dt", {}, name), said];
    }));
    this.log.replaceChildren(...this.lines(at));
  }

  phase(at) {
    if (at < 0) return ", before it";
    const next = this.data.marks.filter((mark) => mark[2] > at).sort((a, b) => a[2] - b[2])[0];
    return next ? ", until “" + next[1] + "”" : "";
  }

  stateAt(rows, at) {
    let low = 0, high = rows.length / 3 - 1, found = -1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (rows[middle * 3] <= at) { found = middle; low = middle + 1; } else high = middle - 1;
    }
    if (found < 0 || rows[found * 3 + 1] < at) return ["gap", "not known"];
    return this.data.states[rows[found * 3 + 2]];
  }

  lines(at) {
    const log = this.data.log;
    let next = log.findIndex((line) => line[0] > at);
    if (next < 0) next = log.length;
    const shown = log.slice(Math.max(0, next - AROUND), next + AROUND).map(([when, host, text]) => {
      const line = element("li", { class: when <= at ? "past" : "to-come" });
      line.append(element("span", { class: "time" }, asSeconds(when)), " ", element("b", {}, host), " " + text);
      return line;
    });
    const here = element("li", { class: "here" }, asSeconds(at));
    shown.splice(next - Math.max(0, next - AROUND), 0, here);
    if (!log.length) shown.push(element("li", { class: "soft" }, "no log line was recorded"));
    requestAnimationFrame(() => { this.log.scrollTop = here.offsetTop - this.log.clientHeight / 2; });
    return shown;
  }
}
