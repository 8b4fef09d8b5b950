// Numbers with their units, and elements without markup. Everything that comes from the node is set as
// text: the policy of the page forbids markup altogether.

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const fine = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const finer = new Intl.NumberFormat('en', { maximumFractionDigits: 2 });

export const $ = id => document.getElementById(id);

// 0.25, 3.4, 87, 1,234, 12.3 k, 4.56 M
export function count(value) {
  if (value == null) return '–';
  if (value >= 1e9) return `${finer.format(value / 1e9)} G`;
  if (value >= 1e6) return `${finer.format(value / 1e6)} M`;
  if (value >= 1e5) return `${fine.format(value / 1e3)} k`;
  if (value >= 10 || Number.isInteger(value)) return whole.format(value);
  return value >= 1 ? fine.format(value) : finer.format(value);
}
export const exact = value => whole.format(value);

export function bytes(value) {
  if (value == null) return ['–', ''];
  for (const [size, unit] of [[2 ** 40, 'TiB'], [2 ** 30, 'GiB'], [2 ** 20, 'MiB'], [2 ** 10, 'KiB']]) {
    if (value >= size) return [(value / size >= 100 ? whole : fine).format(value / size), unit];
  }
  return [whole.format(value), 'B'];
}
export const inBytes = value => bytes(value).join(' ');

export function micros(us) {
  if (us == null) return ['–', ''];
  if (us >= 1e6) return [finer.format(us / 1e6), 's'];
  if (us >= 1e3) return [(us >= 1e5 ? whole : fine).format(us / 1e3), 'ms'];
  return [whole.format(us), 'µs'];
}
export const inMicros = us => micros(us).join(' ');
export const inMillis = ms => (ms >= 60_000 ? span(ms / 1000) : micros(ms * 1000).join(' '));

export function span(seconds) {
  const [d, h, m, s] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60, Math.floor(seconds) % 60];
  if (d) return `${d} d ${h} h`;
  if (h) return `${h} h ${m} min`;
  return m ? `${m} min ${s} s` : `${s} s`;
}
export const several = (n, what) => `${exact(n)} ${what}${n === 1 ? '' : 's'}`;
export const percent = share => `${share > 0 && share < 0.1 ? fine.format(share * 100) : whole.format(share * 100)} %`;
export const words = name => name.replaceAll('_', ' ');

// Sets a text only where it differs, so that nothing is selected away or read out again.
export function say(target, text) {
  const node = typeof target === 'string' ? $(target) : target;
  if (node.textContent !== text) node.textContent = text;
}

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const SVG = 'http://www.w3.org/2000/svg';
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// A bar from 0 to 1, in an SVG because the policy allows no inline style.
export function meter(share, kind = '') {
  const width = Math.max(0, Math.min(1, share)) * 100;
  return element('div', { className: `meter ${kind}`, ariaHidden: 'true' }, svg('svg', { viewBox: '0 0 100 4', preserveAspectRatio: 'none' },
    svg('rect', { class: 'well', width: 100, height: 4 }), svg('rect', { width, height: 4 })));
}
