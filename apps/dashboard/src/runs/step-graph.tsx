import type { CSSProperties, ReactNode } from "react";
import { directNeeds, layersOf, type Ordered } from "./layers.ts";

/** The size of a card and the space between cards, in px. */
export interface CardSize {
  width: number;
  height: number;
  gapX: number;
  gapY: number;
}

/**
 * Steps from left to right, with lines from the steps that each comes after. Steps that do not depend on one
 * another are above each other.
 *
 * @param lineClass - The class of the lines from a step.
 * @param children - Makes the card of a step; `place` puts it where it belongs.
 */
export function StepGraph<Step extends Ordered>({
  steps,
  size,
  label,
  lineClass = () => "need-plain",
  children,
}: {
  steps: readonly Step[];
  size: CardSize;
  label: string;
  lineClass?: (from: Step) => string;
  children: (step: Step, place: CSSProperties) => ReactNode;
}) {
  const layers = layersOf(steps);
  const heightOf = (rows: number) => rows * (size.height + size.gapY) - size.gapY;
  const height = heightOf(Math.max(...layers.map((layer) => layer.length), 1));
  const width = layers.length * (size.width + size.gapX) - size.gapX;
  const places = new Map(
    layers.flatMap((layer, column) =>
      layer.map((step, row) => {
        const top = (height - heightOf(layer.length)) / 2;
        const x = column * (size.width + size.gapX);
        return [step.step, { step, x, y: top + row * (size.height + size.gapY) }] as const;
      }),
    ),
  );
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard
    <section className="weave-scroll" aria-label={label} tabIndex={0}>
      <div className="weave-stage" style={{ width, height }}>
        <svg width={width} height={height} aria-hidden="true">
          {directNeeds(steps).map(({ from, to }) => {
            const start = places.get(from);
            const end = places.get(to);
            if (!start || !end) return null;
            const x1 = start.x + size.width;
            const y1 = start.y + size.height / 2;
            const y2 = end.y + size.height / 2;
            const half = (x1 + end.x) / 2;
            return (
              <path
                key={`${from} ${to}`}
                className={`need ${lineClass(start.step)}`}
                d={`M${x1} ${y1}C${half} ${y1} ${half} ${y2} ${end.x} ${y2}`}
              />
            );
          })}
        </svg>
        {[...places.values()].map(({ step, x, y }) =>
          children(step, { left: x, top: y, width: size.width, height: size.height }),
        )}
      </div>
    </section>
  );
}
