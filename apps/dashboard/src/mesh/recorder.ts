import type { Event } from "@loom/hub/client";
import { emptyMesh, type Mesh, type MeshJob } from "./mesh.ts";
import { type Reading, readMesh } from "./read-mesh.ts";
import { forget, reduce } from "./reduce.ts";
import { rewind } from "./rewind.ts";

/** How far back a replay goes. */
export const REPLAY_MS = 15 * 60_000;
/** The whole mesh is kept this often; in between, what was told. */
const KEEP_EVERY_MS = 10_000;
/** Names that are known of steps; those that were read first are forgotten first. */
const MAX_NAMES = 5_000;

/**
 * The mesh now, and at any moment of the last minutes: as it was seen since the page was opened, and before
 * that as the first reading and the events before it tell.
 */
export interface Recorder {
  readonly mesh: Mesh;
  /** The first moment that can be shown, in ms since the epoch; undefined before there is any. */
  readonly beginsAt: number | undefined;
  /** What was seen is left behind: a past and a reading come anew. */
  restart(): void;
  /** What happened before the events that will be added; once after each start. */
  addPast(events: readonly Event[]): void;
  addEvent(event: Event): void;
  addReading(reading: Reading): void;
  meshAt(at: number): Mesh;
  /** What was told after the one moment, until the other. */
  eventsBetween(after: number, until: number): Event[];
}

/** From a whole mesh to the next one. */
interface Stretch {
  at: number;
  mesh: Mesh;
  events: { at: number; event: Event }[];
}

const timeOf = ({ at }: Event): number => Date.parse(at);

export function createRecorder(): Recorder {
  let mesh = emptyMesh;
  /** Since both a past and a reading are there. */
  let stretches: Stretch[] = [];
  /** Before that: undefined before it came, and the events since it did. */
  let past: readonly Event[] | undefined;
  let early: Event[] = [];
  let first: Reading | undefined;
  /** Folded when somebody first goes back to it. */
  let folded: Stretch[] | undefined;
  /** No event has them, and they never change. */
  const names = new Map<number, Pick<MeshJob, "step" | "workflow" | "requires">>();

  function keep(at: number): void {
    // The newest one that is old enough still holds the first moments to show.
    const oldest = stretches.findLastIndex((stretch) => stretch.at < at - REPLAY_MS);
    if (oldest >= 0) {
      past = [];
      folded = [];
    }
    stretches = [...stretches.slice(Math.max(oldest, 0)), { at, mesh, events: [] }];
  }

  const isDue = (at: number): boolean => at - (stretches.at(-1)?.at ?? 0) >= KEEP_EVERY_MS;

  /** From here on it is recorded: what was read and what was told meet. */
  function begin(): void {
    if (past === undefined || first === undefined) return;
    const { at } = first;
    past = [...past, ...early];
    early = [];
    mesh = past.filter((event) => timeOf(event) > at).reduce(reduce, mesh);
    const last = past.at(-1);
    keep(last ? Math.max(at, timeOf(last)) : at);
  }

  function learnNames({ jobs }: Reading): void {
    for (const { id, step, workflow, requires } of jobs)
      names.set(id, { step, workflow, requires });
    for (const id of names.keys()) {
      if (names.size <= MAX_NAMES) break;
      names.delete(id);
    }
  }

  const isRecording = (): boolean => stretches.length > 0;

  function all(): readonly Stretch[] {
    if (first && past) folded ??= fold(rewind(first, past), past);
    return folded ? [...folded, ...stretches] : stretches;
  }

  return {
    get mesh() {
      return mesh;
    },
    get beginsAt() {
      const [oldest] = past ?? [];
      return oldest && isRecording() ? timeOf(oldest) : stretches[0]?.at;
    },
    restart() {
      stretches = [];
      early = [];
      past = undefined;
      first = undefined;
      folded = undefined;
    },
    addPast(events) {
      past = events;
      begin();
    },
    addEvent(event) {
      const at = timeOf(event);
      if (isRecording() && isDue(at)) keep(at);
      mesh = reduce(mesh, event);
      if (isRecording()) stretches.at(-1)?.events.push({ at, event });
      else early.push(event);
    },
    addReading(reading) {
      const { at } = reading;
      learnNames(reading);
      mesh = readMesh(reading, forget(mesh, at));
      if (isRecording()) {
        if (isDue(at)) keep(at);
      } else {
        first = reading;
        begin();
      }
    },
    meshAt(at) {
      const known = all();
      const stretch = known.findLast((one) => one.at <= at) ?? known[0];
      if (!stretch) return emptyMesh;
      const shown = stretch.events
        .filter((one) => one.at <= at)
        .reduce((before, { event }) => reduce(before, event), stretch.mesh);
      const jobs = [...shown.jobs].map(
        ([id, job]) => [id, job.step === null ? { ...job, ...names.get(id) } : job] as const,
      );
      return { ...shown, jobs: new Map(jobs) };
    },
    eventsBetween(after, until) {
      const known = all();
      return known
        .filter((stretch, index) => stretch.at <= until && (known[index + 1]?.at ?? until) >= after)
        .flatMap(({ events }) => events.filter(({ at }) => at > after && at <= until))
        .map(({ event }) => event);
    },
  };
}

/** Events as stretches, from how it was before them. */
function fold(before: Mesh, events: readonly Event[]): Stretch[] {
  const stretches: Stretch[] = [];
  let mesh = before;
  for (const event of events) {
    const at = timeOf(event);
    if (at - (stretches.at(-1)?.at ?? 0) >= KEEP_EVERY_MS) stretches.push({ at, mesh, events: [] });
    mesh = reduce(mesh, event);
    stretches.at(-1)?.events.push({ at, event });
  }
  return stretches;
}
