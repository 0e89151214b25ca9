import type { Run } from "@loom/hub/client";
import { StateBadge } from "../parts/state-badge.tsx";
import { Tags } from "../parts/tags.tsx";
import { Took } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { directNeeds, layersOf } from "./layers.ts";
import { RunTimeline } from "./run-timeline.tsx";

const CARD = { width: 188, height: 98, gapX: 46, gapY: 20 };

/** What comes after what, and when it was. */
export function RunWeave({ run }: { run: Run }) {
  return (
    <>
      <Steps run={run} />
      <RunTimeline run={run} />
    </>
  );
}

/** The steps from left to right, joined by what each comes after. */
function Steps({ run }: { run: Run }) {
  const layers = layersOf(run.steps);
  const tallest = Math.max(...layers.map((layer) => layer.length));
  const height = tallest * (CARD.height + CARD.gapY) - CARD.gapY;
  const width = layers.length * (CARD.width + CARD.gapX) - CARD.gapX;
  const places = new Map(
    layers.flatMap((layer, column) =>
      layer.map((step, row) => {
        const own = layer.length * (CARD.height + CARD.gapY) - CARD.gapY;
        const x = column * (CARD.width + CARD.gapX);
        return [step.step, { x, y: (height - own) / 2 + row * (CARD.height + CARD.gapY) }] as const;
      }),
    ),
  );
  const stateOf = new Map(run.steps.map(({ step, state }) => [step, state]));
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard
    <section className="weave-scroll" aria-label="Steps in order" tabIndex={0}>
      <div className="weave-stage" style={{ width, height }}>
        <svg width={width} height={height} aria-hidden="true">
          {directNeeds(run.steps).map(({ from, to: next }) => {
            const start = places.get(from);
            const end = places.get(next);
            if (!start || !end) return null;
            const x1 = start.x + CARD.width;
            const y1 = start.y + CARD.height / 2;
            const y2 = end.y + CARD.height / 2;
            const half = (x1 + end.x) / 2;
            return (
              <path
                key={`${from} ${next}`}
                className={`need need-${stateOf.get(from)}`}
                d={`M${x1} ${y1}C${half} ${y1} ${half} ${y2} ${end.x} ${y2}`}
              />
            );
          })}
        </svg>
        {run.steps.map((step) => {
          const place = places.get(step.step);
          return (
            <article
              key={step.id}
              className={`step step-${step.state}`}
              style={{
                left: place?.x,
                top: place?.y,
                width: CARD.width,
                height: CARD.height,
              }}
            >
              <h3>{step.step}</h3>
              <p className="row">
                <StateBadge state={step.state} />
                {step.attempt > 1 && <span className="muted">attempt {step.attempt}</span>}
              </p>
              <p className="step-where">
                {step.host ? (
                  <Link href={to("nodes", step.host)}>{step.host}</Link>
                ) : (
                  <Tags tags={step.requires} />
                )}
                {step.startedAt && (
                  <span className="muted number">
                    <Took from={step.startedAt} until={step.finishedAt} />
                  </span>
                )}
              </p>
            </article>
          );
        })}
      </div>
    </section>
  );
}
