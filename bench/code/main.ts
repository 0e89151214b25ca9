// Measures the cost of fetched code: bundling, the start of a step from a bundle, and the transfer to a node.
// npm run bench -- code
import { type ChildProcess, fork } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { createCodeStore, loadSigningKey, packSource } from "@loom/code";
import { bundleProgram, bundleWorkflow, createBundler } from "@loom/code/bundle";
import { describeRun, quantile } from "../report.ts";

const WORKFLOWS = 100;
const STARTS = 12;

const root = mkdtempSync(path.join(tmpdir(), "loom-bench-code-"));
process.once("exit", () => rmSync(root, { recursive: true, force: true }));
const worker = path.dirname(fileURLToPath(import.meta.resolve("@loom/worker")));

/** A workflow with a schema and a helper, as most are. */
function writeWorkflow(folder: string, name: string): string {
  mkdirSync(folder, { recursive: true });
  writeFileSync(path.join(folder, "helper.ts"), "export const double = (n: number) => 2 * n;\n");
  const file = path.join(folder, `${name}.ts`);
  writeFileSync(
    file,
    `import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";
import { double } from "./helper.ts";

export default defineWorkflow({ name: "${name}", input: z.object({ n: z.number().default(1) }) })
  .step("only", {}, async () => ({ n: double(21) }));
`,
  );
  return file;
}

async function bundling() {
  const folder = path.join(root, "flows");
  const files = Array.from({ length: WORKFLOWS }, (_, n) => writeWorkflow(folder, `flow-${n}`));
  const key = await loadSigningKey(path.join(root, "key"));
  const store = createCodeStore({ folder: path.join(root, "code"), publicKey: key.publicKey });
  const bundle = createBundler({ store, key });
  const each: number[] = [];
  const startedAt = performance.now();
  for (const file of files) {
    const begin = performance.now();
    await bundle(file);
    each.push(performance.now() - begin);
  }
  return { totalMs: performance.now() - startedAt, eachMs: quantile(each, 0.5) };
}

/** PSS of a process and its threads, in MiB. */
const pssOf = (pid: number): number =>
  Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]) / 1_024;

/** Starts a step's process as the agent does, runs its step once, and measures it while it is idle. */
async function runOnce(main: string, module: string, execArgv: string[]) {
  const settings = JSON.stringify({ module, memoryMb: 1_024 });
  const startedAt = performance.now();
  const child: ChildProcess = fork(main, [settings], {
    execArgv: [...execArgv, "--max-old-space-size=2048"],
    stdio: ["ignore", "pipe", "pipe", "ipc", "pipe"],
  });
  const ended = Promise.withResolvers<number>();
  child.on("message", (message: { type: string; outcome?: { outcome: string } }) => {
    if (message.type === "ready") {
      const job = { id: 1, fence: 1, workflow: "measured", step: "only", attempt: 1, requires: [] };
      child.send({
        ...{ type: "run", job: { ...job, traceparent: null, results: {}, input: {} } },
        ...{ node: "bench", mark: "bench", cgroup: null, secrets: [], commandGraceMs: 1_000 },
      });
    } else if (message.type === "ended") {
      if (message.outcome?.outcome !== "succeeded")
        ended.reject(new Error(JSON.stringify(message)));
      ended.resolve(performance.now() - startedAt);
    }
  });
  const ms = await ended.promise;
  // It has nothing to do: what is left after a second is what an idle one keeps.
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const pss = pssOf(child.pid ?? 0);
  child.kill("SIGKILL");
  return { ms, pss };
}

async function starts(main: string, module: string, execArgv: string[]) {
  const runs: { ms: number; pss: number }[] = [];
  for (let run = 0; run < STARTS; run += 1) runs.push(await runOnce(main, module, execArgv));
  return {
    ms: quantile(
      runs.map(({ ms }) => ms),
      0.5,
    ),
    pss: quantile(
      runs.map(({ pss }) => pss),
      0.5,
    ),
  };
}

const { totalMs, eachMs } = await bundling();

// Beside the sources, so that they find their packages.
const folder = path.join(worker, "..", ".loom", "bench-code");
process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
const file = writeWorkflow(folder, "measured");
const { source, map } = await bundleWorkflow(file);
const bundled = path.join(root, "measured.mjs");
writeFileSync(bundled, source);
const entries = {
  "step-main": path.join(worker, "step-process/step-main.ts"),
  watchdog: path.join(worker, "step-process/watchdog.ts"),
};
const program = await bundleProgram({ entries });
for (const [name, text] of program.files) writeFileSync(path.join(root, name), text);

const fromSources = await starts(entries["step-main"], pathToFileURL(file).href, [
  "--conditions=@loom/source",
]);
const mixed = await starts(entries["step-main"], pathToFileURL(bundled).href, [
  "--conditions=@loom/source",
]);
const fromBundles = await starts(path.join(root, "step-main.mjs"), pathToFileURL(bundled).href, []);
const packed = await packSource(source);
const kib = (bytes: number) => `${Math.round(bytes / 1_024)} KiB`;
const row = (name: string, { ms, pss }: { ms: number; pss: number }) =>
  `| ${name} | ${Math.round(ms)} ms | ${pss.toFixed(1)} MiB |`;

console.log(
  [
    "# What it costs that code travels",
    "",
    `Bundling ${WORKFLOWS} workflow files, each with a schema and a helper, one after the other: ${(totalMs / 1_000).toFixed(1)} s, ${Math.round(eachMs)} ms each.`,
    "",
    `A step's process from its start to the step's end, and its PSS while it is idle; the median of ${STARTS}:`,
    "",
    "| program and workflow | until the step has ended | idle |",
    "| --- | --- | --- |",
    row("both from sources", fromSources),
    row("program from sources, workflow as a bundle", mixed),
    row("both as bundles", fromBundles),
    "",
    `A node fetches ${kib(packed.length)} for a workflow whose bundle holds ${kib(source.length)}; its source map (${kib(map.length)}) stays on the hub. Most of it is zod.`,
    "",
    describeRun("npm run bench -- code"),
  ].join("\n"),
);
process.exit();
