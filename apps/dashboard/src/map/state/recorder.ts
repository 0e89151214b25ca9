import type { Event } from "@loom/client";
import { emptyMap, type MapJob, type MapState } from "./map-state.ts";
import { applyReading, type Reading } from "./reading.ts";
import { forget, reduce } from "./reduce.ts";
import { rewind } from "./rewind.ts";

/** How far back a replay goes. */
export const REPLAY_MS = 15 * 60_000;
/** Interval at which the whole map is kept; in between only events are. */
const KEEP_EVERY_MS = 10_000;
/** Maximum number of jobs whose names are kept; the oldest are dropped first. */
const MAX_NAMES = 5_000;

/**
 * The map now and at any moment of the last minutes. Since the page was opened it is as it was seen;
 * before that it is derived from the first reading and the events before it.
 */
export interface Recorder {
  readonly map: MapState;
  /** The first moment that can be shown, in ms since the epoch; undefined while there is none. */
  readonly beginsAt: number | undefined;
  /** Drops everything but the current map: a new past and a new reading follow. */
  restart(): void;
  /** Adds the events before those that `addEvent` will add; called once after each restart. */
  addPast(events: readonly Event[]): void;
  addEvent(event: Event): void;
  addReading(reading: Reading): void;
  mapAt(at: number): MapState;
  /** The events after `after`, up to and including `until`. */
  eventsBetween(after: number, until: number): Event[];
}

/** A whole map and the events after it, up to the next whole map. */
interface Stretch {
  at: number;
  map: MapState;
  events: { at: number; event: Event }[];
}

const timeOf = ({ at }: Event): number => Date.parse(at);

export function createRecorder(): Recorder {
  let map = emptyMap;
  /** Recorded since both a past and a reading are there. */
  let stretches: Stretch[] = [];
  /** The past, undefined until it comes; and the events since the stream began, until recording begins. */
  let past: readonly Event[] | undefined;
  let early: Event[] = [];
  let first: Reading | undefined;
  /** The past as stretches, made when it is first shown. */
  let folded: Stretch[] | undefined;
  /** The constant facts of a job, which its events leave out. */
  const names = new Map<number, Pick<MapJob, "step" | "workflow" | "requires">>();

  function keep(at: number): void {
    // The newest stretch that begins before the replay's range still covers its first moments.
    const oldest = stretches.findLastIndex((stretch) => stretch.at < at - REPLAY_MS);
    if (oldest >= 0) {
      past = [];
      folded = [];
    }
    stretches = [...stretches.slice(Math.max(oldest, 0)), { at, map, events: [] }];
  }

  const isDue = (at: number): boolean => at - (stretches.at(-1)?.at ?? 0) >= KEEP_EVERY_MS;

  /** Begins to record as soon as both a past and a reading are there. */
  function begin(): void {
    if (past === undefined || first === undefined) return;
    const { at } = first;
    past = [...past, ...early];
    early = [];
    map = past.filter((event) => timeOf(event) > at).reduce(reduce, map);
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
    get map() {
      return map;
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
      map = reduce(map, event);
      if (isRecording()) stretches.at(-1)?.events.push({ at, event });
      else early.push(event);
    },
    addReading(reading) {
      const { at } = reading;
      learnNames(reading);
      map = applyReading(reading, forget(map, at));
      if (isRecording()) {
        if (isDue(at)) keep(at);
      } else {
        first = reading;
        begin();
      }
    },
    mapAt(at) {
      const known = all();
      const stretch = known.findLast((one) => one.at <= at) ?? known[0];
      if (!stretch) return emptyMap;
      const shown = stretch.events
        .filter((one) => one.at <= at)
        .reduce((before, { event }) => reduce(before, event), stretch.map);
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

/** The events as stretches, given the map before them. */
function fold(before: MapState, events: readonly Event[]): Stretch[] {
  const stretches: Stretch[] = [];
  let map = before;
  for (const event of events) {
    const at = timeOf(event);
    if (at - (stretches.at(-1)?.at ?? 0) >= KEEP_EVERY_MS) stretches.push({ at, map, events: [] });
    map = reduce(map, event);
    stretches.at(-1)?.events.push({ at, event });
  }
  return stretches;
}
