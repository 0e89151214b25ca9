import type { Event } from "@loom/hub/client";
import fc from "fast-check";
import { expect, test } from "vitest";
import { emptyMesh, type Mesh } from "./mesh.ts";
import { pulseOf } from "./pulse.ts";
import { type Reading, readMesh } from "./read-mesh.ts";
import { recorded, recordings } from "./recordings/recorded.ts";
import { reduce } from "./reduce.ts";
import { sayEvent } from "./say-event.ts";

const fold = (mesh: Mesh, events: readonly Event[]): Mesh => events.reduce(reduce, mesh);
const begin = ({ reading }: { reading: Reading }): Mesh => readMesh(reading, emptyMesh);

/** What happens to the only run of a recording: after each event that changes it, how it is. */
function story({ reading, events }: { reading: Reading; events: Event[] }): string[] {
  let mesh = readMesh(reading, emptyMesh);
  const lines: string[] = [];
  for (const event of events) {
    const pulse = pulseOf(mesh, event);
    mesh = reduce(mesh, event);
    const job = mesh.jobs.get(event.jobId ?? 0);
    const what = job
      ? `${job.state}${job.node ? ` ${job.node}` : ""}`
      : (event.node ?? event.state);
    const shown = pulse && `${pulse.kind} ${pulse.from ?? "knot"}>${pulse.to ?? "knot"}`;
    lines.push(`${event.type}: ${what}${shown ? `; ${shown}` : ""}`);
  }
  return lines;
}

test("a run across two nodes: a thread through both, and a pulse for each thing that moved", () => {
  const recording = recorded("smoke");
  const mesh = fold(begin(recording), recording.events);
  const [run] = [...mesh.runs.values()].filter(({ workflow }) => workflow === "cross-node-smoke");
  expect(run).toMatchObject({ status: "succeeded", path: ["oracle", "pop-os", "oracle"] });
  expect(story(recording).slice(0, 12)).toEqual([
    "run.started: running",
    "job.created: waiting",
    "job.created: blocked",
    "job.created: blocked",
    "job.created: blocked",
    "job.offered: pending oracle; dispatch knot>oracle",
    "job.claimed: running oracle; start oracle>oracle",
    "job.settled: succeeded oracle; success oracle>oracle",
    "job.ready: waiting",
    "job.offered: pending pop-os; dispatch oracle>pop-os",
    "job.claimed: running pop-os; start pop-os>pop-os",
    "job.settled: succeeded pop-os; success pop-os>pop-os",
  ]);
});

test("a lost node: what it held frays back to the knot, and leaves for another node", () => {
  const recording = recorded("node-loss");
  expect(story(recording)).toEqual([
    "run.started: running",
    "job.created: waiting",
    "job.offered: pending pop-os; dispatch knot>pop-os",
    "job.claimed: running pop-os; start pop-os>pop-os",
    "node.hello: tower; join tower>tower",
    "node.dead: pop-os; leave pop-os>pop-os",
    "job.requeued: waiting; lost pop-os>knot",
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
    "job.waiting: waiting; wait knot>knot",
    expect.stringMatching(/^job.cancelled: cancelled; stop /),
    "run.finished: cancelled",
  ]);
});

test("a node that is steered is so at once, and what waits for it says why", () => {
  const recording = recorded("steering");
  let mesh = begin(recording);
  const seen = recording.events.flatMap((event) => {
    mesh = reduce(mesh, event);
    const said = sayEvent(event, mesh);
    const reason = mesh.jobs.get(event.jobId ?? 0)?.reason;
    const status = event.type.startsWith("node.") ? mesh.nodes.get("pop-os")?.status : undefined;
    return said ? [[said, status ?? reason ?? ""]] : [];
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
    ["needs-laser goes on", ""],
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
  const mesh = fold(begin(recording), recording.events.slice(0, 2));
  expect(readMesh(recording.reading, mesh).nodes.get("pop-os")?.status).toBe("paused");
  const later = { ...recording.reading, at: recording.after.at };
  expect(readMesh(later, mesh).nodes.get("pop-os")?.status).toBe("active");
});

test("events that are told twice change nothing", () => {
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

test("the order in which different jobs' events are told does not matter", () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.nat()), (numbers) => {
      const recording = recorded("smoke");
      const [start, ...rest] = recording.events;
      const jobs = Map.groupBy(rest, ({ jobId }) => jobId);
      const queues = [...jobs.values()].map((queue) => [...queue]);
      const shuffled: Event[] = start ? [start] : [];
      // Of each job in its own order, as the hub promises.
      while (queues.some((queue) => queue.length > 0)) {
        const full = queues.filter((queue) => queue.length > 0);
        const next = full[(numbers.next().value ?? 0) % full.length]?.shift();
        if (next) shuffled.push(next);
      }
      const mesh = fold(begin(recording), shuffled);
      const ordered = fold(begin(recording), recording.events);
      expect([...mesh.jobs].sort()).toEqual([...ordered.jobs].sort());
      expect(mesh.runs).toEqual(ordered.runs);
    }),
  );
});

test("what was read does not undo what was told since", () => {
  const recording = recorded("smoke");
  const mesh = fold(begin(recording), recording.events);
  const [claimed] = recording.events.filter(({ type }) => type === "job.claimed");
  const [run] = [...mesh.runs.values()].filter(({ workflow }) => workflow === "cross-node-smoke");
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
  const after = readMesh(late, mesh);
  expect(after.runs.get(run?.id ?? "")).toMatchObject({ status: "succeeded", path: run?.path });
  expect(after.jobs.get(claimed?.jobId ?? 0)?.state).toBe("succeeded");
});
