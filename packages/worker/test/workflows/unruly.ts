// Steps that do what steps must not do, for tests of what becomes of them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, writeFileSync } from "node:fs";
import { getPriority } from "node:os";
import { defineWorkflow, type JsonValue } from "@loom/workflow";
import { z } from "zod";

let runs = 0;

const input = z.object({
  argv: z.tuple([z.string()], z.string()).default(["true"]),
  file: z.string().default("/dev/null"),
  text: z.string().default(""),
});

export const unruly = defineWorkflow({ name: "unruly", input })
  .step("tell", {}, async (context) => {
    runs += 1;
    const { attempt, node, run, step, workflow } = context;
    return { attempt, node, run, step, workflow, runs, pid: process.pid, nice: getPriority() };
  })
  .step("change-process", {}, async () => {
    const found = [process.env.CHANGED ?? null, process.cwd()];
    process.env.CHANGED = "by a step";
    process.chdir("/");
    return found;
  })
  .step("flood", {}, async () => {
    for (let line = 0; line < 600_000; line += 1) {
      process.stdout.write(`line ${line} of a step that writes more than is kept\n`);
    }
  })
  .step("write", {}, async ({ log, progress, input: { text } }) => {
    log.info({ text }, "first");
    console.log("second");
    console.error("third");
    progress(0.5, "half way");
    progress(0.5, "half way");
    process.stdout.write("last, without an end of line");
  })
  .step("spin", {}, async ({ input: { file } }) => {
    writeFileSync(file, String(process.pid));
    for (;;);
  })
  .step("exit", {}, async () => process.exit(3))
  .step("crash", {}, async () => {
    process.kill(process.pid, "SIGSEGV");
    await new Promise(() => {});
  })
  .step("throw-later", {}, async () => {
    setTimeout(() => {
      throw new RangeError("thrown by a timer");
    }, 1);
    await new Promise(() => {});
  })
  .step("fill-heap", {}, async () => {
    const kept: JsonValue[] = [];
    for (;;) kept.push(Array.from({ length: 1_000 }, (_, index) => `${index}`));
  })
  .step("fill-buffers", {}, async () => {
    const kept: Buffer[] = [];
    for (;;) {
      kept.push(Buffer.alloc(1_048_576, 1));
      await new Promise(setImmediate);
    }
  })
  .step("command", {}, async ({ exec, input: { argv } }) => ({ ...(await exec(argv)) }))
  .step("command-then-spin", {}, async ({ exec, input: { argv, file } }) => {
    void exec(argv).catch(() => {});
    writeFileSync(file, String(process.pid));
    for (;;);
  })
  .step("leave-daemon", {}, async ({ input: { argv, file } }) => {
    const [program, ...args] = argv;
    const child = spawn(program, args, { detached: true, stdio: "ignore" });
    await once(child, "spawn");
    writeFileSync(file, String(child.pid));
    await new Promise(() => {});
  })
  .step("close-outputs", {}, async () => {
    closeSync(1);
    closeSync(2);
    return "closed";
  })
  .step("wait", {}, async ({ signal, input: { file } }) => {
    writeFileSync(file, String(process.pid));
    await once(signal, "abort");
    throw new Error("stopped", { cause: signal.reason });
  })
  .step("finish-anyway", {}, async ({ signal, input: { file } }) => {
    writeFileSync(file, String(process.pid));
    await once(signal, "abort");
    return { code: signal.reason.code };
  })
  .step("leak", {}, async ({ input: { text } }) => {
    const secret = process.env.API_TOKEN ?? "";
    process.stdout.write(`whole ${secret}, in parts ${secret.slice(0, 4)}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
    console.log(`${secret.slice(4)}.`);
    throw new Error(`${text} ${secret}`, { cause: new Error(`cause ${secret}`) });
  });
