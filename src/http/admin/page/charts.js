// Lines over the last five minutes, in SVG: redrawn once a second, at most 300 points each.
import { element, say, svg } from './format.js';

const SPANS_MS = [60_000, 120_000, 300_000];
const GAP_MS = 3_500;
const LEFT = 0, TOP = 8, BOTTOM = 17;

// A top that is a round number, so that the scale does not jump with each value.
export function niceTop(value, least) {
  const top = Math.max(value, least);
  const power = 10 ** Math.floor(Math.log10(top));
  return [1, 1.5, 2, 3, 5, 7.5, 10].map(step => step * power).find(step => step >= top * 0.999);
}

// `lines`: { pick, css, name } each. `show` writes a value with its unit; `log` is for what spans decades.
export class Chart {
  constructor(plot, { label, lines, show, least = 1, log = false, area = false, top = null, unit = 1 }) {
    Object.assign(this, { plot, label, lines, show, least, log, area, top, unit, rows: [], at: null });
    this.svg = svg('svg', { role: 'img', 'aria-label': label });
    this.tip = element('div', { className: 'tip', hidden: true });
    plot.tabIndex = 0;
    plot.append(this.svg, this.tip);
    plot.addEventListener('pointermove', event => this.hover(event.clientX - plot.getBoundingClientRect().left));
    plot.addEventListener('pointerleave', () => this.hover(null));
    plot.addEventListener('blur', () => this.hover(null));
    plot.addEventListener('keydown', event => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      this.hover(Math.max(0, Math.min(this.width, (this.at ?? this.width) + step * this.width / 60)));
    });
    new ResizeObserver(() => this.draw()).observe(plot);
  }

  set(rows) { this.rows = rows; this.draw(); }

  hover(at) { this.at = at; this.draw(); }

  x(ms) { return LEFT + (this.width - this.right - LEFT) * (1 - (this.newest - ms) / this.span); }

  y(value) {
    const height = this.height - TOP - BOTTOM;
    const [low, high] = this.range;
    const share = this.log ? (Math.log10(Math.max(value, low)) - Math.log10(low)) / (Math.log10(high) - Math.log10(low)) : value / high;
    return TOP + height * (1 - Math.max(0, Math.min(1, share)));
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!width || !height) return;
    this.width = width; this.height = height;
    this.right = this.lines.length > 1 ? 40 : 6;
    this.newest = this.rows.at(-1)?.[0] ?? Date.now();
    // As much time as there is something to show of.
    const age = this.newest - (this.rows[0]?.[0] ?? this.newest);
    this.span = SPANS_MS.find(span => age <= span) ?? SPANS_MS.at(-1);
    const rows = this.rows.filter(row => row[0] >= this.newest - this.span);
    this.svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
    const values = rows.flatMap(row => this.lines.map(line => line.pick(row))).filter(value => value != null);
    const most = Math.max(0, ...values);
    this.range = this.log
      ? [10 ** Math.floor(Math.log10(Math.max(10, Math.min(...values, this.least)))), 10 ** Math.ceil(Math.log10(Math.max(most, this.least) * 1.001))]
      : [0, this.top ?? niceTop(most * 1.04 / this.unit, this.least / this.unit) * this.unit];
    const { rules, labels } = this.frame();
    // The texts last, with a halo: no line runs through them.
    this.svg.replaceChildren(...rules, ...this.lines.map(line => this.line(line, rows)), ...labels, ...this.names(rows));
    const now = this.lines.map(line => `${line.name ? line.name + ' ' : ''}${this.show(rows.length ? line.pick(rows.at(-1)) : null)}`).join(', ');
    this.svg.setAttribute('aria-label', `${this.label}, over time; now ${now}`);
    this.point(rows);
  }

  frame() {
    const [low, high] = this.range, rules = [], labels = [];
    const ticks = this.log ? decades(low, high) : this.height < 90 ? [high] : [high / 2, high];
    let under = -Infinity;
    for (const tick of ticks) {
      if (this.log && tick === low && this.y(low) - under < 30) continue;
      under = this.y(tick);
      const y = Math.round(this.y(tick)) + 0.5;
      const above = this.log && tick === low;
      rules.push(svg('line', { class: 'rule', x1: LEFT, x2: this.width, y1: y, y2: y }));
      labels.push(text(LEFT, above ? y - 4 : y + 11, this.show(tick)));
    }
    const base = this.height - BOTTOM + 0.5;
    rules.push(svg('line', { class: 'base', x1: LEFT, x2: this.width, y1: base, y2: base }));
    const name = ms => (this.span > 60_000 ? `−${ms / 60_000} min` : `−${ms / 1000} s`);
    for (const [share, anchor] of [[1, 'start'], [0.5, 'middle'], [0, 'end']]) {
      const ms = this.span * share;
      labels.push(text(this.x(this.newest - ms), this.height - 3, ms ? name(ms) : 'now', { 'text-anchor': anchor }));
    }
    return { rules, labels };
  }

  line({ pick, css }, rows) {
    let path = '', area = '', open = null, before = 0;
    const base = this.height - BOTTOM;
    const close = ms => { if (open != null) area += `L${this.x(ms).toFixed(1)} ${base}Z`; open = null; };
    for (const row of rows) {
      const value = pick(row);
      if (value == null) { close(before); continue; }
      const place = `${this.x(row[0]).toFixed(1)} ${this.y(value).toFixed(1)}`;
      const joins = open != null && row[0] - before < GAP_MS;
      if (!joins) { close(before); area += `M${this.x(row[0]).toFixed(1)} ${base}L${place}`; }
      else area += `L${place}`;
      path += `${joins ? 'L' : 'M'}${place}`;
      open = before = row[0];
    }
    close(before);
    const group = svg('g', { class: css ?? '' });
    if (this.area) group.append(svg('path', { class: 'area', d: area }));
    group.append(svg('path', { class: 'line', d: path }));
    const last = rows.at(-1), value = last && pick(last);
    if (value != null && css !== 'b-mid' && css !== 'b-low') group.append(svg('circle', { class: 'end', cx: this.x(last[0]), cy: this.y(value), r: 3.5 }));
    return group;
  }

  // The names stand where the lines end, pushed apart where these are too close.
  names(rows) {
    const last = rows.at(-1);
    if (!last || this.lines.length < 2) return [];
    const ends = this.lines.map(line => ({ name: line.name, value: line.pick(last) })).filter(({ value }) => value != null);
    let above = -Infinity;
    return ends.map(end => ({ ...end, y: this.y(end.value) })).sort((a, b) => a.y - b.y).map(({ name, y }) => {
      above = Math.max(y + 4, above + 12);
      return text(this.x(last[0]) + 8, above, name, { class: 'name' });
    });
  }

  point(rows) {
    this.tip.hidden = this.at == null || !rows.length;
    if (this.tip.hidden) return;
    const row = rows.reduce((best, row) => (Math.abs(this.x(row[0]) - this.at) < Math.abs(this.x(best[0]) - this.at) ? row : best));
    const x = this.x(row[0]);
    this.svg.append(svg('line', { class: 'cross', x1: x, x2: x, y1: TOP, y2: this.height - BOTTOM }));
    const lines = this.lines.map(line => `${line.name ? line.name + '  ' : ''}${this.show(line.pick(row))}`);
    say(this.tip, [...lines, new Date(row[0]).toLocaleTimeString()].join('\n'));
    const width = this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(this.width - width, x > this.width / 2 ? x - width - 10 : x + 10))}px`;
  }
}

function decades(low, high) {
  const all = [];
  for (let tick = low; tick <= high; tick *= 10) all.push(tick);
  const every = Math.ceil(all.length / 4);
  return all.reverse().filter((_, at) => at % every === 0);
}

function text(x, y, content, attributes = {}) {
  const made = svg('text', { x, y, ...attributes });
  made.textContent = content;
  return made;
}

// Bars of a histogram with their counts on top; what is beyond `lateFrom` is drawn as late.
export function histogram(list, counts, names, lateFrom = -1) {
  const most = Math.max(1, ...counts);
  list.replaceChildren(...counts.map((value, at) => {
    const height = value ? Math.max(3, (value / most) * 46) : 0;
    return element('li', { className: lateFrom >= 0 && at >= lateFrom ? 'late' : '' }, element('b', { textContent: value || '' }),
      element('i', { ariaHidden: 'true' }, svg('svg', { viewBox: '0 0 10 46', preserveAspectRatio: 'none' }, svg('rect', { width: 10, height, y: 46 - height }))),
      element('span', { textContent: names[at] }));
  }));
}
