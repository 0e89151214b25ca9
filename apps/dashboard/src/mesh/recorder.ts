import type { Event } from "@loom/hub/client";
import { emptyMesh, type Mesh } from "./mesh.ts";
import { type Reading, readMesh } from "./read-mesh.ts";
import { forget, reduce } from "./reduce.ts";

/** How far back a replay goes. */
export const REPLAY_MS = 15 * 60_000;
/** The whole mesh is kept this often; in between, what was told. */
const KEEP_EVERY_MS = 10_000;

/** What was seen since the page was opened: the mesh now, and at any moment of the last minutes. */
export interface Recorder {
  readonly mesh: Mesh;
  /** The first moment that can be shown, in ms since the epoch; undefined before there is any. */
  readonly beginsAt: number | undefined;
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

export function createRecorder(): Recorder {
  let mesh = emptyMesh;
  let stretches: Stretch[] = [];

  function keep(at: number): void {
    // The newest one that is old enough still holds the first moments to show.
    const first = stretches.findLastIndex((stretch) => stretch.at < at - REPLAY_MS);
    stretches = [...stretches.slice(Math.max(first, 0)), { at, mesh, events: [] }];
  }

  const isDue = (at: number): boolean => at - (stretches.at(-1)?.at ?? 0) >= KEEP_EVERY_MS;

  return {
    get mesh() {
      return mesh;
    },
    get beginsAt() {
      return stretches[0]?.at;
    },
    addEvent(event) {
      const at = Date.parse(event.at);
      if (isDue(at)) keep(at);
      mesh = reduce(mesh, event);
      stretches.at(-1)?.events.push({ at, event });
    },
    addReading(reading) {
      const { at } = reading;
      mesh = readMesh(reading, forget(mesh, at));
      if (isDue(at)) keep(at);
    },
    meshAt(at) {
      const stretch = stretches.findLast((one) => one.at <= at) ?? stretches[0];
      if (!stretch) return emptyMesh;
      return stretch.events
        .filter((one) => one.at <= at)
        .reduce((before, { event }) => reduce(before, event), stretch.mesh);
    },
    eventsBetween: (after, until) =>
      stretches
        .filter(
          (stretch, index) => stretch.at <= until && (stretches[index + 1]?.at ?? until) >= after,
        )
        .flatMap(({ events }) => events.filter(({ at }) => at > after && at <= until))
        .map(({ event }) => event),
  };
}
