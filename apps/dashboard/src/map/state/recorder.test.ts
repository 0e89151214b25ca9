import type { Event } from "@loom/client";
import fc from "fast-check";
import { expect, test } from "vitest";
import { emptyMap, type MapState } from "./map-state.ts";
import { applyReading } from "./reading.ts";
import { createRecorder } from "./recorder.ts";
import { recorded, recordings } from "./recordings/recorded.ts";
import { reduce } from "./reduce.ts";
import { rewind } from "./rewind.ts";

test("a replay shows at every moment what was shown then", () => {
  const recording = recorded("node-loss");
  const recorder = createRecorder();
  recorder.addPast([]);
  recorder.addReading(recording.reading);
  const seen = recording.events.map((event) => {
    recorder.addEvent(event);
    return { at: Date.parse(event.at), map: recorder.map };
  });
  for (const [index, { at, map }] of seen.entries()) {
    // After several events of one millisecond, the map shows the last one.
    if (seen[index + 1]?.at !== at) expect(recorder.mapAt(at)).toEqual(map);
  }
  expect(recorder.eventsBetween(0, Number.POSITIVE_INFINITY)).toEqual(recording.events);
});

test("a replay goes back fifteen minutes, and forgets what is older", () => {
  const recorder = createRecorder();
  recorder.addPast([]);
  recorder.addReading({ at: 0, nodes: [], runs: [], jobs: [] });
  const at = (minute: number) => new Date(minute * 60_000).toISOString();
  const hello = (minute: number): Event => ({
    seq: minute,
    at: at(minute),
    type: "node.hello",
    runId: null,
    jobId: null,
    state: null,
    node: `node-${minute}`,
    fence: null,
    detail: null,
  });
  for (let minute = 1; minute <= 60; minute += 1) recorder.addEvent(hello(minute));
  expect(recorder.beginsAt).toBe(44 * 60_000);
  expect(recorder.mapAt(45.5 * 60_000).nodes.size).toBe(45);
});

/** Keeps the nodes and the runs that these events name, as the map shows them. */
function shown({ nodes, runs, jobs }: MapState, events: readonly Event[]) {
  const runIds = new Set(events.map(({ runId }) => runId));
  return {
    online: [...nodes.values()].flatMap(({ name, online }) => (online ? name : [])).sort(),
    steered: [...nodes.values()].flatMap(({ name, status }) =>
      status === "active" ? [] : [`${name} ${status}`],
    ),
    jobs: [...jobs.values()]
      .filter(({ runId }) => runIds.has(runId))
      .map(({ id, state, node }) => `${id} ${state} ${node}`)
      .sort(),
    runs: [...runs.values()]
      .filter(({ id }) => runIds.has(id))
      .map(({ id, status, path }) => `${id} ${status} ${path.join()}`),
  };
}

/** The true map after the events. */
function end(name: (typeof recordings)[number]): MapState {
  const { reading, events } = recorded(name);
  return events.reduce(reduce, applyReading(reading, emptyMap));
}

test("what was before a reading follows from it and the events before it", () => {
  for (const name of recordings) {
    const { reading, events, after } = recorded(name);
    const recorder = createRecorder();
    recorder.addReading(after);
    recorder.addPast(events);
    let map = applyReading(reading, emptyMap);
    for (const [index, event] of events.entries()) {
      map = reduce(map, event);
      if (events[index + 1]?.at === event.at) continue;
      const past = recorder.mapAt(Date.parse(event.at));
      expect(shown(past, events), `${name}, event ${index}`).toEqual(shown(map, events));
    }
    expect(recorder.beginsAt).toBe(Date.parse(events[0]?.at ?? ""));
    expect(recorder.eventsBetween(0, Number.POSITIVE_INFINITY)).toEqual(events);
  }
});

test("a past that begins in the middle leads to the same end", () => {
  fc.assert(
    fc.property(fc.constantFrom(...recordings), fc.nat(), (name, from) => {
      const { events, after } = recorded(name);
      const part = events.slice(from % events.length);
      const map = part.reduce(reduce, rewind(after, part));
      const { online, steered } = shown(end(name), part);
      expect(shown(map, part)).toMatchObject({ online, steered });
      for (const { jobId } of part) {
        if (jobId !== null)
          expect(map.jobs.get(jobId)?.state).toBe(end(name).jobs.get(jobId)?.state);
      }
    }),
  );
});

test("it does not matter whether the past or the reading comes first", () => {
  const { events, after } = recorded("smoke");
  const [one, other] = [createRecorder(), createRecorder()];
  one.addPast(events);
  one.addReading(after);
  other.addReading(after);
  other.addPast(events);
  expect(one.map).toEqual(other.map);
  const middle = Date.parse(events[8]?.at ?? "");
  expect(one.mapAt(middle)).toEqual(other.mapAt(middle));
  // What no event has was read.
  const steps = [...one.mapAt(middle).jobs.values()].map(({ step }) => step);
  expect(steps).toEqual(expect.arrayContaining(["local", "remote"]));
});

test("a reading that was overtaken by the past does not undo it", () => {
  const { reading, events } = recorded("smoke");
  const recorder = createRecorder();
  recorder.addReading(reading);
  recorder.addPast(events);
  expect(shown(recorder.map, events)).toEqual(shown(end("smoke"), events));
});

test("a step that began to ask had been suspended before, and one that began to wait was blocked", () => {
  const event = (jobId: number, detail: string | null): Event => ({
    ...{ seq: jobId, at: new Date(jobId).toISOString(), type: "job.suspended", runId: null, jobId },
    ...{ state: "suspended", node: null, fence: null, detail },
  });
  const { jobs } = rewind({ at: 9, nodes: [], runs: [], jobs: [] }, [
    event(1, null),
    event(2, "asked"),
  ]);
  expect([...jobs.values()].map(({ state }) => state)).toEqual(["blocked", "suspended"]);
});
