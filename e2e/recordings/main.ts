// Usage: node --conditions=@loom/source e2e/recordings/main.ts
//
// Records what a hub tells while real agents work, as the dashboard's tests read it:
// apps/dashboard/src/mesh/recordings/<name>.json, a reading of everything, the events after it, and a reading
// behind them.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createHubClient, type Event } from "@loom/hub/client";
import { startSystem } from "../support/system.ts";

const system = await startSystem();
const hub = createHubClient({ url: system.url, token: system.token });
const folder = mkdtempSync(path.join(tmpdir(), "loom-recordings-"));

async function read() {
  const at = Date.now();
  const [nodes, runs, jobs] = await Promise.all([hub.listNodes(), hub.listRuns(), hub.listJobs()]);
  return { at, nodes: nodes.data, runs: runs.data, jobs: jobs.data };
}

/** Records from before `work` begins until a run is finished. `work` can wait until something was told. */
async function record(
  name: string,
  work: (told: (type: Event["type"]) => Promise<void>) => Promise<unknown>,
) {
  const stop = new AbortController();
  const events: Event[] = [];
  const stream = hub.streamEvents({ signal: stop.signal });
  // Listening begins with the first look, and that with what somebody does.
  const first = stream.next();
  const { runId } = await hub.startRun("needs-laser", { input: {}, allowUnsatisfiable: true });
  await hub.cancelRun(runId);
  await first;
  const reading = await read();
  const waiting = new Map<Event["type"], () => void>();
  const told = (type: Event["type"]) =>
    new Promise<void>((resolve) => {
      if (events.some((event) => event.type === type)) resolve();
      else waiting.set(type, resolve);
    });
  const listening = (async () => {
    for await (const { event, data } of stream) {
      if (event === "now" || event === "reset") continue;
      // Who asked for what is not on the map.
      if (data.runId === runId || data.type === "request.done") continue;
      events.push(data);
      waiting.get(data.type)?.();
      if (data.type === "run.finished") return;
    }
  })();
  await work(told);
  await listening;
  stop.abort();
  const file = `../../apps/dashboard/src/mesh/recordings/${name}.json`;
  writeFileSync(
    fileURLToPath(new URL(file, import.meta.url)),
    `${JSON.stringify({ reading, events, after: await read() }, null, 1)}\n`,
  );
  console.log(`${name}: ${events.length} events`);
}

try {
  const agent = await system.startAgent("pop-os", ["has-gpu", "can-hold"]);
  await record("smoke", () => hub.startRun("cross-node-smoke", { input: {} }));

  await record("waiting", async (told) => {
    const { runId } = await hub.startRun("needs-laser", { input: {}, allowUnsatisfiable: true });
    await told("job.waiting");
    await hub.cancelRun(runId);
  });

  await record("steering", async (told) => {
    await hub.pauseStrand("needs-laser");
    await hub.steerNode("pop-os", "pause", { note: "a new disk" });
    await hub.startRun("needs-gpu");
    await told("job.waiting");
    await hub.steerNode("pop-os", "drain");
    await hub.resumeStrand("needs-laser");
    await hub.steerNode("pop-os", "resume");
  });

  await record("node-loss", async (told) => {
    await hub.startRun("hold", { input: { folder } });
    await told("job.claimed");
    await agent.stop("SIGKILL");
    await system.startAgent("tower", ["can-hold"]);
    writeFileSync(path.join(folder, "go"), "");
  });
} finally {
  await system.stop();
}
