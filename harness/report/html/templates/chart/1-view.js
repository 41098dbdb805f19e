// The window of time that a picture shows, in milliseconds from the disruption, and its cursor.
class View {
  constructor(data) {
    this.first = data.from;
    this.last = Math.max(data.to, data.from + 1);
    this.cursor = 0;
    this.pinned = false;
    this.listeners = [];
    [this.from, this.to] = this.start = View.interesting(data);
  }

  // Around what happened: the boundaries and every moment at which a path was not answered.
  static interesting(data) {
    const times = [0, ...data.marks.map((mark) => mark[2])];
    for (const chartRow of data.chart_rows) {
      if (chartRow.group === "states") continue;
      for (let i = 0; i < chartRow.rows.length; i += 3) {
        if (FAULTS.has(data.states[chartRow.rows[i + 2]][0])) times.push(chartRow.rows[i], chartRow.rows[i + 1]);
      }
    }
    let low = Infinity, high = -Infinity;
    for (const time of times) { low = Math.min(low, time); high = Math.max(high, time); }
    const room = Math.max(50, (high - low) * 0.12);
    const from = Math.max(data.from, low - room), to = Math.min(data.to, high + room);
    return to - from > 0.6 * (data.to - data.from) ? [data.from, Math.max(data.to, data.from + 1)] : [from, to];
  }

  get span() { return this.to - this.from; }
  get scale() { return (this.last - this.first) / this.span; }

  show(from, to) {
    const span = Math.min(Math.max(to - from, 2), this.last - this.first);
    this.from = Math.min(Math.max(from, this.first), this.last - span);
    this.to = this.from + span;
    this.tell();
  }

  zoom(factor, at) {
    const middle = at === undefined ? (this.from + this.to) / 2 : at;
    this.show(middle - (middle - this.from) / factor, middle + (this.to - middle) / factor);
  }

  pan(by) { this.show(this.from + by, this.to + by); }

  point(at, pin) {
    this.cursor = Math.min(Math.max(at, this.first), this.last);
    if (pin !== undefined) this.pinned = pin;
    this.tell();
  }

  // At most one drawing per frame, however fast the wheel turns.
  tell() {
    if (this.waiting) return;
    this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.listeners.forEach((draw) => draw()); });
  }
}

const FAULTS = new Set(["silent", "refused", "reset", "unreachable", "wrong"]);

function asSeconds(ms, digits = 3) {
  const sign = ms < 0 ? "−" : "+";
  return sign + (Math.abs(ms) / 1000).toFixed(digits) + " s";
}

function element(name, attributes = {}, text) {
  const made = SVG_NAMES.has(name) ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}

const SVG_NAMES = new Set(["svg", "g", "rect", "line", "text", "circle", "title", "path"]);
