// Usage: node --conditions=@loom/source e2e/recordings/main.ts
//
// Records what a hub tells while real agents work, as the dashboard's tests read it:
// apps/dashboard/src/map/state/recordings/<name>.json, a reading of everything, the events after it, and a reading
// behind them.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createHubClient, type Event } from "@loom/client";
import { startSystem } from "../support/system.ts";

const system = await startSystem();
const hub = createHubClient({ url: system.url, token: system.token });
const folder = mkdtempSync(path.join(tmpdir(), "loom-recordings-"));

async function read() {
  const at = Date.now();
  const [nodes, runs, jobs] = await Promise.all([hub.listNodes(), hub.listRuns(), hub.listJobs()]);
  return { at, nodes: nodes.data, runs: runs.data, jobs: jobs.data };
}

/** Records events from before `work` begins until a run has finished. `work` can wait for an event. */
async function record(
  name: string,
  work: (seen: (type: Event["type"]) => Promise<void>) => Promise<unknown>,
) {
  const stop = new AbortController();
  const events: Event[] = [];
  const stream = hub.streamEvents({ signal: stop.signal });
  // The stream begins with the first read, so something has to happen for it to open.
  const first = stream.next();
  const { runId } = await hub.startRun("needs-laser", { input: {}, allowUnsatisfiable: true });
  await hub.cancelRun(runId);
  await first;
  const reading = await read();
  const waiting = new Map<Event["type"], () => void>();
  const seen = (type: Event["type"]) =>
    new Promise<void>((resolve) => {
      if (events.some((event) => event.type === type)) resolve();
      else waiting.set(type, resolve);
    });
  const listening = (async () => {
    for await (const { event, data } of stream) {
      if (event === "now" || event === "reset") continue;
      // The map does not show requests.
      if (data.runId === runId || data.type === "request.done") continue;
      events.push(data);
      waiting.get(data.type)?.();
      if (data.type === "run.finished") return;
    }
  })();
  await work(seen);
  await listening;
  stop.abort();
  const file = `../../apps/dashboard/src/map/state/recordings/${name}.json`;
  writeFileSync(
    fileURLToPath(new URL(file, import.meta.url)),
    `${JSON.stringify({ reading, events, after: await read() }, null, 1)}\n`,
  );
  console.log(`${name}: ${events.length} events`);
}

try {
  const agent = await system.startAgent("pop-os", ["has-gpu", "can-hold"]);
  await record("smoke", () => hub.startRun("cross-node-smoke", { input: {} }));

  await record("waiting", async (seen) => {
    const { runId } = await hub.startRun("needs-laser", { input: {}, allowUnsatisfiable: true });
    await seen("job.waiting");
    await hub.cancelRun(runId);
  });

  await record("steering", async (seen) => {
    await hub.pauseStrand("needs-laser");
    await hub.steerNode("pop-os", "pause", { note: "a new disk" });
    await hub.startRun("needs-gpu");
    await seen("job.waiting");
    await hub.steerNode("pop-os", "drain");
    await hub.resumeStrand("needs-laser");
    await hub.steerNode("pop-os", "resume");
  });

  await record("node-loss", async (seen) => {
    await hub.startRun("hold", { input: { folder } });
    await seen("job.claimed");
    await agent.stop("SIGKILL");
    await system.startAgent("tower", ["can-hold"]);
    writeFileSync(path.join(folder, "go"), "");
  });
} finally {
  await system.stop();
}
