// Where a home is, drawn without a map: one tower, seen from the front, with the one window that calls lit.
// A guess from the name ("101-1203" is building 101, floor 12, unit 3), so a name of another kind gets no drawing.

/** @typedef {{ building: string, floor: number, unit: number }} Place */

const SVG = 'http://www.w3.org/2000/svg';
const UNITS_SHOWN = 4;
const FLOORS_SHOWN = 14;
const WINDOW = { width: 13, height: 7, gapX: 5, gapY: 4 };
const WALL = 8;

/** @param {string} house @returns {Place | undefined} */
export function place(house) {
  const parts = house.match(/^(\d{1,4})\s*동?\s*[-–~/ ]?\s*(\d{3,4})\s*호?$/);
  if (!parts) return undefined;
  const [floor, unit] = [Number(parts[2].slice(0, -2)), Number(parts[2].slice(-2))];
  return floor && unit ? { building: parts[1], floor, unit } : undefined;
}

/** @param {Place} where @param {{ label: string, ground: string }} words */
export function sketch({ building, floor, unit }, { label, ground }) {
  const units = Math.max(UNITS_SHOWN, unit <= 8 ? unit : UNITS_SHOWN);
  const top = Math.max(FLOORS_SHOWN, floor + 2);
  const bottom = Math.max(1, top - FLOORS_SHOWN + 1);
  const width = 2 * WALL + units * (WINDOW.width + WINDOW.gapX) - WINDOW.gapX;
  const height = 2 * WALL + (top - bottom + 1) * (WINDOW.height + WINDOW.gapY);
  const margin = 34;

  const picture = element('svg', { viewBox: `0 0 ${width + margin + 4} ${height + 26}`, role: 'img', class: 'sketch' });
  picture.append(named(label), element('rect', { class: 'tower', x: margin, y: 2, width, height, rx: 3 }));
  picture.append(written(building, { class: 'building', x: margin + width / 2, y: height + 20, 'text-anchor': 'middle' }));
  for (let row = bottom; row <= top; row++) {
    const y = 2 + WALL + (top - row) * (WINDOW.height + WINDOW.gapY);
    for (let column = 1; column <= units; column++) {
      const x = margin + WALL + (column - 1) * (WINDOW.width + WINDOW.gapX);
      const lit = row === floor && column === Math.min(unit, units);
      picture.append(element('rect', { class: lit ? 'window lit' : 'window', x, y, width: WINDOW.width, height: WINDOW.height, rx: 1 }));
    }
    if (row === floor) picture.append(written(ground, { class: 'floor', x: margin - 5, y: y + 8, 'text-anchor': 'end' }));
  }
  return picture;
}

/** The complex at rest: towers at dusk, a few windows warm. The same evening every time. */
export function skyline() {
  const towers = [
    { x: 14, floors: 8, units: 4 },
    { x: 104, floors: 11, units: 4 },
    { x: 194, floors: 9, units: 4 },
    { x: 284, floors: 6, units: 3 },
  ];
  return towers.flatMap(({ x, floors, units }, tower) => {
    const [width, height] = [units * 16 + 8, floors * 13 + 12];
    const wall = element('rect', { class: 'tower', x, y: 168 - height, width, height, rx: 3 });
    const windows = Array.from({ length: floors * units }, (_, i) => {
      const warm = (i * 7 + tower * 5) % 11 === 3;
      const [column, row] = [i % units, Math.floor(i / units)];
      return element('rect', { class: warm ? 'window warm' : 'window', x: x + 7 + column * 16, y: 168 - height + 9 + row * 13, width: 10, height: 7, rx: 1 });
    });
    return [wall, ...windows];
  });
}

/** @param {string} name @param {Record<string, string | number>} attributes */
function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, String(value));
  return made;
}

/** @param {string} text */
function named(text) {
  const title = element('title', {});
  title.textContent = text;
  return title;
}

/** @param {string} text @param {Record<string, string | number>} attributes */
function written(text, attributes) {
  const made = element('text', attributes);
  made.textContent = text;
  return made;
}
