// npm run bench -- dashboard [seconds]
//
// Measures how long a frame of the map takes in a real browser, with 50 nodes, 200 runs and 50 events a
// second from a real hub.
import { writeFileSync } from "node:fs";
import { createHubClient } from "@loom/client";
import { buildDashboard } from "@loom/dashboard/build";
import { openBrowser } from "../../e2e/support/browser.ts";
import { logIn } from "../../e2e/support/dashboard.ts";
import { startSystem } from "../../e2e/support/system.ts";
import { describeRun, percentile, toFacts } from "../report.ts";
import { openFleet } from "./fleet.ts";

const NODES = 49;
const RUNS = 200;
/** A run has six events, from its start to its end. */
const RUNS_PER_SECOND = 9;
const ROUND_MS = 500;
const seconds = Number(process.argv[2] ?? 20);

await buildDashboard();
const system = await startSystem({ workflows: new URL("./workflows", import.meta.url) });
const browser = await openBrowser();
try {
  const hub = createHubClient({ url: system.url, token: system.token });
  const { version } = await hub.getStrand("held");
  const fleet = await openFleet(system.queue, { size: NODES, version });
  const startRuns = (count: number) =>
    Promise.all(Array.from({ length: count }, () => hub.startRun("held", { input: {} })));

  for (let started = 0; started < RUNS; started += 20) await startRuns(20);
  while (fleet.held < RUNS) await fleet.claim();

  const page = await browser.newPage({ viewport: { width: 1440, height: 900 } });
  await logIn(page, system);
  await page.getByText(`${RUNS} runs under way`).waitFor();

  const until = performance.now() + seconds * 1_000;
  let received = 0;
  const listening = new AbortController();
  const counting = (async () => {
    for await (const { event } of hub.streamEvents({ signal: listening.signal })) {
      if (event !== "request.done") received += 1;
    }
  })().catch((error: unknown) => listening.signal.aborted || Promise.reject(error));
  const working = (async () => {
    while (performance.now() < until) {
      const began = performance.now();
      const count = (RUNS_PER_SECOND * ROUND_MS) / 1_000;
      await Promise.all([startRuns(Math.round(count)), fleet.settle(Math.round(count))]);
      await fleet.claim();
      const rest = ROUND_MS - (performance.now() - began);
      await new Promise((resolve) => setTimeout(resolve, Math.max(0, rest)));
    }
  })();

  const session = await page.context().newCDPSession(page);
  await session.send("Performance.enable");
  const taskSeconds = async () => {
    const { metrics } = await session.send("Performance.getMetrics");
    return metrics.find(({ name }) => name === "TaskDuration")?.value ?? Number.NaN;
  };
  const before = await taskSeconds();
  const frames = (await page.evaluate(`new Promise((resolve) => {
    const gaps = [];
    let last = performance.now();
    const end = last + ${seconds * 1_000};
    const frame = (at) => {
      gaps.push(at - last);
      last = at;
      if (at < end) requestAnimationFrame(frame);
      else resolve(gaps.slice(1));
    };
    requestAnimationFrame(frame);
  })`)) as number[];
  const busy = (await taskSeconds()) - before;
  await working;
  listening.abort();
  await counting;

  const rows: [string, string][] = [
    ["nodes, unfinished runs", `${NODES + 1}, ${fleet.held}`],
    ["events a second", (received / seconds).toFixed(0)],
    ["frames a second", (frames.length / seconds).toFixed(1)],
    ["time between frames, p50", `${percentile(frames, 0.5)} ms`],
    ["p95", `${percentile(frames, 0.95)} ms`],
    ["p99", `${percentile(frames, 0.99)} ms`],
    ["main thread of the page busy", `${((100 * busy) / seconds).toFixed(0)} %`],
    ["the same, a frame", `${((1_000 * busy) / frames.length).toFixed(1)} ms`],
  ];
  const report = `# How smooth is the map under load?

The dashboard's map at 1440 × 900 in headless Chromium, which draws without a graphics card. The hub, the
database, the load and the browser share the machine.

${describeRun(`npm run bench -- dashboard ${seconds}`)}

${toFacts(rows)}
`;
  console.log(report);
  writeFileSync(new URL("../results/dashboard.md", import.meta.url), report);
} finally {
  await browser.close();
  await system.stop();
}
