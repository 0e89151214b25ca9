import type { Event } from "@loom/client";
import fc from "fast-check";
import { expect, test } from "vitest";
import { emptyMap, type MapState } from "./map-state.ts";
import { applyReading, type Reading } from "./reading.ts";
import { recorded, recordings } from "./recordings/recorded.ts";
import { reduce } from "./reduce.ts";
import { pulseOf } from "./transitions.ts";
import { describeEvent } from "./words.ts";

const fold = (map: MapState, events: readonly Event[]): MapState => events.reduce(reduce, map);
const begin = ({ reading }: { reading: Reading }): MapState => applyReading(reading, emptyMap);

/** What happens to the only run of a recording: after each event that changes it, how it is. */
function story({ reading, events }: { reading: Reading; events: Event[] }): string[] {
  let map = applyReading(reading, emptyMap);
  const lines: string[] = [];
  for (const event of events) {
    const pulse = pulseOf(map, event);
    map = reduce(map, event);
    const job = map.jobs.get(event.jobId ?? 0);
    const what = job
      ? `${job.state}${job.node ? ` ${job.node}` : ""}`
      : (event.node ?? event.state);
    const shown = pulse && `${pulse.kind} ${pulse.from ?? "waiting"}>${pulse.to ?? "waiting"}`;
    lines.push(`${event.type}: ${what}${shown ? `; ${shown}` : ""}`);
  }
  return lines;
}

test("a run across two nodes: a thread through both, and a pulse for each thing that moved", () => {
  const recording = recorded("smoke");
  const map = fold(begin(recording), recording.events);
  const [run] = [...map.runs.values()].filter(({ workflow }) => workflow === "cross-node-smoke");
  expect(run).toMatchObject({ status: "succeeded", path: ["oracle", "pop-os", "oracle"] });
  expect(story(recording).slice(0, 12)).toEqual([
    "run.started: running",
    "job.created: waiting",
    "job.created: blocked",
    "job.created: blocked",
    "job.created: blocked",
    "job.offered: pending oracle; dispatch waiting>oracle",
    "job.claimed: running oracle; start oracle>oracle",
    "job.settled: succeeded oracle; success oracle>oracle",
    "job.ready: waiting",
    "job.offered: pending pop-os; dispatch oracle>pop-os",
    "job.claimed: running pop-os; start pop-os>pop-os",
    "job.settled: succeeded pop-os; success pop-os>pop-os",
  ]);
});

test("a lost node: what it held goes back to the waiting area, and leaves for another node", () => {
  const recording = recorded("node-loss");
  expect(story(recording)).toEqual([
    "run.started: running",
    "job.created: waiting",
    "job.offered: pending pop-os; dispatch waiting>pop-os",
    "job.claimed: running pop-os; start pop-os>pop-os",
    "node.hello: tower; join tower>tower",
    "node.dead: pop-os; leave pop-os>pop-os",
    "job.requeued: waiting; lost pop-os>waiting",
    "job.offered: pending tower; dispatch pop-os>tower",
    "job.claimed: running tower; start tower>tower",
    "job.settled: succeeded tower; success tower>tower",
    "run.finished: succeeded",
  ]);
  const { nodes, runs } = fold(begin(recording), recording.events);
  expect(nodes.get("pop-os")?.online).toBe(false);
  expect(nodes.get("tower")?.online).toBe(true);
  expect([...runs.values()].map(({ path }) => path)).toContainEqual(["pop-os", "tower"]);
});

test("a step that waits is on no node, until it is cancelled", () => {
  expect(story(recorded("waiting"))).toEqual([
    "run.started: running",
    "job.created: waiting",
    "job.waiting: waiting; wait waiting>waiting",
    expect.stringMatching(/^job.cancelled: cancelled; stop /),
    "run.finished: cancelled",
  ]);
});

test("a node that is steered is so at once, and what waits for it says why", () => {
  const recording = recorded("steering");
  let map = begin(recording);
  const seen = recording.events.flatMap((event) => {
    map = reduce(map, event);
    const text = describeEvent(event, map);
    const reason = map.jobs.get(event.jobId ?? 0)?.reason;
    const status = event.type.startsWith("node.") ? map.nodes.get("pop-os")?.status : undefined;
    return text ? [[text, status ?? reason ?? ""]] : [];
  });
  expect(seen.slice(0, 7)).toEqual([
    ["needs-laser paused", ""],
    ["pop-os is paused: a new disk", "paused"],
    ["needs-gpu started", ""],
    [
      "a step of needs-gpu waits: the nodes that could run it are paused or draining",
      "the nodes that could run it are paused or draining",
    ],
    ["pop-os drains", "draining"],
    ["needs-laser resumed", ""],
    ["pop-os takes work again", "active"],
  ]);
  expect(story(recording).filter((line) => line.startsWith("node."))).toEqual([
    "node.paused: pop-os; hold pop-os>pop-os",
    "node.draining: pop-os; hold pop-os>pop-os",
    "node.resumed: pop-os; join pop-os>pop-os",
  ]);
});

test("a reading that was under way when a node was steered does not undo it", () => {
  const recording = recorded("steering");
  const map = fold(begin(recording), recording.events.slice(0, 2));
  expect(applyReading(recording.reading, map).nodes.get("pop-os")?.status).toBe("paused");
  const later = { ...recording.reading, at: recording.after.at };
  expect(applyReading(later, map).nodes.get("pop-os")?.status).toBe("active");
});

test("events that arrive twice change nothing", () => {
  fc.assert(
    fc.property(fc.constantFrom(...recordings), fc.nat(), fc.nat(), (name, first, length) => {
      const recording = recorded(name);
      const { events } = recording;
      const from = first % events.length;
      const again = events.slice(from, from + (length % events.length));
      const once = fold(begin(recording), events);
      expect(fold(once, again)).toEqual(once);
    }),
  );
});

test("the order in which events of different jobs arrive does not matter", () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), (numbers) => {
      const recording = recorded("smoke");
      const [start, ...rest] = recording.events;
      const jobs = Map.groupBy(rest, ({ jobId }) => jobId);
      const queues = [...jobs.values()].map((queue) => [...queue]);
      const shuffled: Event[] = start ? [start] : [];
      // Each job's events keep their order, as the hub promises.
      while (queues.some((queue) => queue.length > 0)) {
        const full = queues.filter((queue) => queue.length > 0);
        const next = full[(numbers.next().value ?? 0) % full.length]?.shift();
        if (next) shuffled.push(next);
      }
      const map = fold(begin(recording), shuffled);
      const ordered = fold(begin(recording), recording.events);
      expect([...map.jobs].sort()).toEqual([...ordered.jobs].sort());
      expect(map.runs).toEqual(ordered.runs);
    }),
  );
});

test("a reading does not undo the events since", () => {
  const recording = recorded("smoke");
  const map = fold(begin(recording), recording.events);
  const [claimed] = recording.events.filter(({ type }) => type === "job.claimed");
  const [run] = [...map.runs.values()].filter(({ workflow }) => workflow === "cross-node-smoke");
  const late: Reading = {
    ...recording.reading,
    runs: [
      {
        ...(recording.reading.runs[0] as Reading["runs"][number]),
        id: run?.id ?? "",
        status: "running",
        finishedAt: null,
      },
    ],
    jobs: [
      {
        ...(recording.reading.jobs[0] as Reading["jobs"][number]),
        id: claimed?.jobId ?? 0,
        runId: run?.id ?? "",
        state: "running",
      },
    ],
  };
  const after = applyReading(late, map);
  expect(after.runs.get(run?.id ?? "")).toMatchObject({ status: "succeeded", path: run?.path });
  expect(after.jobs.get(claimed?.jobId ?? 0)?.state).toBe("succeeded");
});
