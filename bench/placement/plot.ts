/** One line of a plot. Both axes are logarithmic. */
interface Series {
  readonly title: string;
  readonly colour: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

export interface Panel {
  readonly x: string;
  readonly series: readonly Series[];
}

const WIDTH = 420;
const HEIGHT = 300;
const LEFT = 64;
const BOTTOM = 44;
const TOP = 16;
const RIGHT = 16;

/** Draws panels side by side as an SVG: milliseconds against a count. */
export function plot(title: string, panels: readonly Panel[]): string {
  const ys = panels.flatMap(({ series }) =>
    series.flatMap(({ points }) => points.map(([, y]) => y)),
  );
  const yRange = decades(ys);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH * panels.length} ${HEIGHT}" font-family="sans-serif" font-size="11">`,
    `<title>${title}</title>`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    ...panels.map(
      (panel, index) => `<g transform="translate(${index * WIDTH} 0)">${draw(panel, yRange)}</g>`,
    ),
    "</svg>\n",
  ].join("\n");
}

type Range = readonly [from: number, to: number];

/** The range from the power of ten below all values to the one above. */
const decades = (values: readonly number[]): Range => [
  Math.floor(Math.log10(Math.min(...values))),
  Math.ceil(Math.log10(Math.max(...values))),
];

function draw({ x: label, series }: Panel, yRange: Range): string {
  const xRange = decades(series.flatMap(({ points }) => points.map(([x]) => x)));
  const at = (value: number, [from, to]: Range, low: number, high: number) =>
    (low + ((Math.log10(value) - from) / (to - from)) * (high - low)).toFixed(1);
  const toX = (value: number) => at(value, xRange, LEFT, WIDTH - RIGHT);
  const toY = (value: number) => at(value, yRange, HEIGHT - BOTTOM, TOP);
  const powers = ([from, to]: Range) =>
    Array.from({ length: to - from + 1 }, (_, index) => 10 ** (from + index));
  return [
    ...powers(xRange).map(
      (power) =>
        `<path d="M${toX(power)} ${TOP}V${HEIGHT - BOTTOM}" stroke="#ddd"/><text x="${toX(power)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${power.toLocaleString("en")}</text>`,
    ),
    ...powers(yRange).map(
      (power) =>
        `<path d="M${LEFT} ${toY(power)}H${WIDTH - RIGHT}" stroke="#ddd"/><text x="${LEFT - 6}" y="${Number(toY(power)) + 4}" text-anchor="end">${power.toLocaleString("en")} ms</text>`,
    ),
    `<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${label}</text>`,
    ...series.map(({ title, colour, points }, index) => {
      const line = points.map(([x, y]) => `${toX(x)},${toY(y)}`).join(" ");
      const dots = points
        .map(([x, y]) => `<circle cx="${toX(x)}" cy="${toY(y)}" r="2.5"/>`)
        .join("");
      return `<g fill="${colour}"><polyline points="${line}" fill="none" stroke="${colour}" stroke-width="1.5"/>${dots}<text x="${LEFT + 8}" y="${TOP + 14 + 14 * index}">${title}</text></g>`;
    }),
  ].join("\n");
}
