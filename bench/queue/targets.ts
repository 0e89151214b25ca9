import { type Cost, cpuOf } from "../cost.ts";
import { median, toTable } from "../report.ts";
import { type BacklogLatency, backlogStates } from "./backlog.ts";
import { graphileWorker, graphileWorkerLocalQueue } from "./engines/graphile-worker.ts";
import { loomDirect, loomRest } from "./engines/loom.ts";
import { pgBoss } from "./engines/pg-boss.ts";
import { raw } from "./engines/raw.ts";
import type { Measurement } from "./measure.ts";

type Phase = "enqueue" | "drain";

interface Target {
  readonly name: string;
  readonly batch?: number;
  /** The measured value: the more the better for `atLeast`, the less the better for `atMost`. */
  readonly measured: number;
  /** The same from processor time instead of the clock, where that makes sense. */
  readonly cpu?: number;
  readonly atLeast?: number;
  readonly atMost?: number;
}

/**
 * Compares two engines round by round, and takes the median.
 *
 * @returns How many jobs `ours` does in the time in which `theirs` does one.
 */
export function compareEngines(
  measurements: readonly Measurement[],
  {
    ours,
    theirs,
    phase,
    figure,
    ...where
  }: Pick<Measurement, "batch" | "inputBytes"> & {
    ours: string;
    theirs: string;
    phase: Phase;
    figure: (cost: Cost) => number;
  },
): number {
  const find = (engine: string) =>
    measurements.filter(
      (row) =>
        row.engine === engine && row.batch === where.batch && row.inputBytes === where.inputBytes,
    );
  const others = find(theirs);
  return median(
    find(ours).flatMap((row) => {
      const other = others.find(({ round }) => round === row.round);
      return other ? [figure(other[phase]) / figure(row[phase])] : [];
    }),
  );
}

/** Formats the targets of the queue, each with its measured value, as a Markdown table. */
export function formatTargets(
  measurements: readonly Measurement[],
  backlogs: readonly BacklogLatency[],
): string {
  return toTable(
    ["", "batch", "measured", "by CPU time", "target", "met"],
    findTargets(measurements, backlogs).map(
      ({ name, batch, measured, cpu, atLeast = -Infinity, atMost = Infinity }) => [
        name,
        batch === undefined ? "" : String(batch),
        toDigits(measured),
        cpu === undefined ? "" : toDigits(cpu),
        atMost === Infinity
          ? `≥ ${atLeast.toFixed(2)}`
          : `≤ ${atMost < 10 ? atMost.toFixed(2) : atMost}`,
        Number.isNaN(measured) ? "–" : measured >= atLeast && measured <= atMost ? "yes" : "no",
      ],
    ),
  );
}

const toDigits = (value: number): string =>
  Number.isNaN(value) ? "–" : value.toFixed(value < 10 ? 2 : 0);

/** All of them are about the smallest inputs. */
function findTargets(
  measurements: readonly Measurement[],
  backlogs: readonly BacklogLatency[],
): Target[] {
  const inputBytes = Math.min(...measurements.map((row) => row.inputBytes));
  const ratio = (
    [ours, theirs]: readonly [{ name: string }, { name: string }],
    { batch, atLeast, phase = "drain" }: { batch: number; atLeast: number; phase?: Phase },
  ): Target => {
    const pair = { ours: ours.name, theirs: theirs.name, batch, inputBytes, phase };
    return {
      name: `${phase === "enqueue" ? "enqueue, " : ""}${ours.name} ÷ ${theirs.name}`,
      ...{ batch, atLeast },
      measured: compareEngines(measurements, { ...pair, figure: ({ wall }) => wall }),
      cpu: compareEngines(measurements, { ...pair, figure: cpuOf }),
    };
  };
  const bytes = (name: string, figure: (row: Measurement) => number): Target => ({
    name,
    batch: 100,
    atMost: 700,
    measured: median(
      measurements
        .filter(
          (row) =>
            row.engine === loomDirect.name && row.batch === 100 && row.inputBytes === inputBytes,
        )
        .map(figure),
    ),
  });
  const sizes = backlogs.map(({ jobs }) => jobs);
  return [
    ratio([loomDirect, graphileWorkerLocalQueue], { batch: 100, atLeast: 1.6 }),
    ratio([loomDirect, pgBoss], { batch: 100, atLeast: 2 }),
    ratio([loomDirect, raw], { batch: 100, atLeast: 0.9 }),
    ratio([loomRest, pgBoss], { batch: 100, atLeast: 1.6 }),
    ratio([loomDirect, pgBoss], { batch: 1, atLeast: 1.8 }),
    ratio([loomDirect, graphileWorker], { batch: 1, atLeast: 0.75 }),
    ratio([loomRest, pgBoss], { batch: 1, atLeast: 0.9 }),
    ratio([loomDirect, pgBoss], { batch: 100, atLeast: 1.8, phase: "enqueue" }),
    bytes("bytes of the log for a claim and a settlement", (row) => row.drain.wal),
    bytes("bytes of a finished job on disk", (row) => row.finishedBytes),
    ...(sizes.length === 0 ? [] : backlogStates).map((state): Target => {
      const claim = (jobs: number) =>
        backlogs.find((row) => row.state === state && row.jobs === jobs)?.claim.p50 ?? Number.NaN;
      const [least, most] = [Math.min(...sizes), Math.max(...sizes)];
      return {
        name: `claim of one, ${most.toLocaleString("en-US")} jobs ÷ ${least.toLocaleString("en-US")}, ${state}`,
        measured: claim(most) / claim(least),
        atMost: 1.2,
      };
    }),
  ];
}
