// Steps that do what steps must not do, for tests of what becomes of them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { getPriority } from "node:os";
import { defineWorkflow, type JsonValue } from "@loom/workflow";
import { z } from "zod";

let runs = 0;

const input = z.object({
  argv: z.tuple([z.string()], z.string()).default(["true"]),
  file: z.string().default("/dev/null"),
  text: z.string().default(""),
});

/** The things that a step can leave behind in its process. */
const LEAVE: Readonly<Record<string, () => void>> = {
  nothing: () => {},
  "a timer": () => void setTimeout(() => {}, 60_000),
  "a server": () => void createServer().listen(0, "127.0.0.1"),
  "its umask": () => void process.umask(0o007),
  "its folder": () => process.chdir("/"),
  "a variable": () => {
    process.env.CHANGED = "by a step";
  },
  "no variable": () => delete process.env.PATH,
  "a listener": () => void process.on("SIGUSR2", () => {}),
  // Which keep no process alive, and so cannot be seen before they come to life.
  "a late throw": () =>
    void setTimeout(() => {
      throw new Error("late");
    }, 100).unref(),
  "a late rejection": () =>
    void setTimeout(() => void Promise.reject(new Error("late")), 100).unref(),
  "late words": () => void setTimeout(() => console.log("late words"), 100).unref(),
};

export const unruly = defineWorkflow({ name: "unruly", input })
  .step("tell", {}, async (context) => {
    runs += 1;
    const { attempt, node, run, step, workflow } = context;
    return { attempt, node, run, step, workflow, runs, pid: process.pid, nice: getPriority() };
  })
  .step("read-file", {}, async ({ input: { file } }) => readFileSync(file, "utf8").trim())
  .step("change-process", {}, async () => {
    const found = [process.env.CHANGED ?? null, process.cwd(), process.umask()];
    process.env.CHANGED = "by a step";
    process.chdir("/");
    process.umask(0o777);
    return found;
  })
  .step("leave", {}, async ({ input: { text } }) => {
    LEAVE[text]?.();
    return process.pid;
  })
  .step("pause", {}, async () => {
    await new Promise((resolve) => setTimeout(resolve, 300));
    return process.pid;
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
  .step("command-elsewhere", {}, async ({ exec, input: { argv, file } }) => {
    await exec(argv, { cwd: file });
  })
  .step("command-without-files", {}, async ({ exec, input: { argv } }) => {
    await exec(["prlimit", "--pid", String(process.pid), "--nofile=64"]);
    const opened: number[] = [];
    try {
      for (;;) opened.push(openSync("/dev/null", "r"));
    } catch {
      await exec(argv).finally(() => opened.forEach(closeSync));
    }
  })
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
  .step("leave-cleared", {}, async ({ input: { argv, file, text } }) => {
    // Nothing of it tells where it came from: no variable, no session, no parent.
    const [program, ...args] = argv;
    spawn("env", ["-i", "setsid", "--fork", program, ...args], { stdio: "ignore" }).unref();
    while (!existsSync(file)) await new Promise((resolve) => setTimeout(resolve, 10));
    if (text === "exit") process.exit(1);
    if (text === "crash") process.kill(process.pid, "SIGKILL");
    if (text === "wait") await new Promise(() => {});
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
