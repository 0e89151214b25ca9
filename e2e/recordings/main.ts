// Usage: node --conditions=@loom/source e2e/recordings/main.ts
//
// Records what a hub tells while real agents work, as the dashboard's tests read it:
// apps/dashboard/src/mesh/recordings/<name>.json, a reading of everything and the events after it.
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { createHubClient, type Event } from "@loom/hub/client";
import { startSystem } from "../support/system.ts";

const system = await startSystem();
const hub = createHubClient({ url: system.url, token: system.token });
const folder = mkdtempSync(path.join(tmpdir(), "loom-recordings-"));

/** Records from before `work` begins until an event is the last one. */
async function record(
  name: string,
  work: () => Promise<unknown>,
  isLast: (event: Event) => boolean,
) {
  const stop = new AbortController();
  const events: Event[] = [];
  const stream = hub.streamEvents({ signal: stop.signal });
  // Listening begins with the first look, and that with what somebody does.
  const first = stream.next();
  const { runId } = await hub.startRun("needs-laser", { input: {}, allowUnsatisfiable: true });
  await hub.cancelRun(runId);
  await first;
  const [nodes, runs, jobs] = await Promise.all([hub.listNodes(), hub.listRuns(), hub.listJobs()]);
  const reading = { at: Date.now(), nodes: nodes.data, runs: runs.data, jobs: jobs.data };
  const listening = (async () => {
    for await (const { data } of stream) {
      // Who asked for what is not on the map.
      if (data.runId === runId || data.type === "request.done") continue;
      events.push(data);
      if (isLast(data)) return;
    }
  })();
  await work();
  await listening;
  stop.abort();
  const file = `../../apps/dashboard/src/mesh/recordings/${name}.json`;
  writeFileSync(
    fileURLToPath(new URL(file, import.meta.url)),
    `${JSON.stringify({ reading, events }, null, 1)}\n`,
  );
  console.log(`${name}: ${events.length} events`);
}

const isFinished = ({ type }: Event) => type === "run.finished";
try {
  const agent = await system.startAgent("pop-os", ["has-gpu", "can-hold"]);
  await record("smoke", () => hub.startRun("cross-node-smoke", { input: {} }), isFinished);

  await record(
    "waiting",
    async () => {
      const { runId } = await hub.startRun("needs-laser", { input: {}, allowUnsatisfiable: true });
      await hub.cancelRun(runId);
    },
    isFinished,
  );

  await record(
    "node-loss",
    async () => {
      await hub.startRun("hold", { input: { folder } });
      for (;;) {
        const { data } = await hub.listJobs({ state: "running" });
        if (data.length > 0) break;
      }
      await agent.stop("SIGKILL");
      await system.startAgent("tower", ["can-hold"]);
      writeFileSync(path.join(folder, "go"), "");
    },
    isFinished,
  );
} finally {
  await system.stop();
}
