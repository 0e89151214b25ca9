import { once } from "node:events";
import type { Queue } from "@loom/queue";
import { describe, expect } from "vitest";
import { test as base, beginStep, sayHello } from "./fixtures.ts";

/** A node whose owner lets it run commands. */
const test = base.extend("tower", ({ queue }) => sayHello(queue, "tower", ["exec"]));

/** Waits until so many commands wait for a node. */
const untilWaiting = (queue: Queue, count = 1) =>
  expect.poll(async () => (await queue.listWaiting()).length, { timeout: 30_000 }).toBe(count);

/** When somebody asked to cancel a running job. */
async function cancelledAt(queue: Queue, id: number): Promise<Date | null> {
  const job = await queue.getJob(id);
  return job.state === "running" ? job.cancelRequestedAt : null;
}

/** Begins the command that a terminal waits for, presses Ctrl-C there, and waits until its cancel is asked for. */
async function untilCancelled(
  screen: { shows(text: RegExp): Promise<unknown>; type(keys: string): void },
  queue: Queue,
  tower: Parameters<typeof beginStep>[1],
) {
  await untilWaiting(queue);
  const held = await beginStep(queue, tower, ["epoch 1\n"]);
  await screen.shows(/epoch 1/);
  screen.type("\u0003");
  await expect.poll(() => cancelledAt(queue, held.id), { timeout: 30_000 }).not.toBeNull();
  return held;
}

const failedWith = (error: object) => ({
  outcome: "failed" as const,
  error: { name: "CommandFailedError", message: "x", ...error },
});

describe("exec", { timeout: 120_000 }, () => {
  test("prints the output as it is, and ends with the exit code of the command", async ({
    loom,
    queue,
    tower,
  }) => {
    const ended = loom(["exec", "-n", "exec", "-e", "A=b=c", "--", "train", "--all", "a b"]);
    await untilWaiting(queue);
    const held = await beginStep(queue, tower, ["one\n", "\u001b[31mtwo"]);
    await queue.settle("tower", [
      { ...held, ...failedWith({ code: "COMMAND_FAILED", exitCode: 3 }) },
    ]);
    expect(await ended).toEqual({ code: 3, stdout: "one\n\u001b[31mtwo", stderr: "" });
    const { runs } = await queue.listRuns({ workflow: "exec" });
    expect((await queue.getRun(runs[0]?.id ?? "")).input).toMatchObject({
      argv: ["train", "--all", "a b"],
      env: { A: "b=c" },
    });
  });

  test.for([
    [{ code: "COMMAND_FAILED", exitCode: null, signal: "SIGKILL" }, 137, "was ended by SIGKILL"],
    [{ code: "COMMAND_NOT_STARTED", exitCode: 127 }, 127, "[COMMAND_NOT_STARTED]"],
    [{ code: "STEP_TIMEOUT" }, 124, "[STEP_TIMEOUT]"],
    [{ code: "EXEC_SIGNATURE_REFUSED" }, 125, "[EXEC_SIGNATURE_REFUSED]"],
  ] as const)(
    "ends an attempt that failed with %j with %i",
    async ([error, code, said], { loom, queue, tower }) => {
      const id = (await loom(["exec", "--detach", "--", "train"])).stdout.trim();
      const held = await beginStep(queue, tower);
      await queue.settle("tower", [{ ...held, ...failedWith(error) }]);
      const ended = await loom(["attach", id.slice(0, 8)]);
      expect(ended).toMatchObject({ code, stdout: "" });
      expect(ended.stderr).toContain(said);
    },
  );

  test("says that no machine runs commands, and how to allow it", async ({ loom, queue }) => {
    await sayHello(queue, "pi", []);
    const { code, stderr } = await loom(["exec", "--", "true"]);
    expect({ code, stderr }).toMatchObject({ code: 125 });
    expect(stderr).toMatch(/^loom: no known node could ever run .* \[UNSATISFIABLE\]$/m);
    expect(stderr).toMatch(/^ {2}fix {2}set LOOM_EXEC=any .* loom node allow pi exec/m);
    const explained = await loom(["exec", "--explain", "--", "true"]);
    expect(explained).toMatchObject({ code: 125 });
    expect(explained.stdout).toMatch(/^pi +no +lacks exec$/m);
    expect((await queue.listRuns({})).runs).toEqual([]);
  });

  test.for([
    [["exec"], "USAGE"],
    [["exec", "--sweep", "lr", "--", "x"], "USAGE"],
    [["exec", "--count", "2", "--sweep", "a=1", "--", "x"], "USAGE"],
    [["exec", "--timeout", "soon", "--", "x"], "USAGE"],
    [["exec", "-e", "LOOM_X=1", "--", "x"], "INVALID_INPUT"],
    [["attach", "ffff"], "RUN_NOT_FOUND"],
  ] as const)(
    "%j fails with 125, which no command can be mistaken for",
    async ([args, error], { loom, tower }) => {
      expect(tower.node).toBe("tower");
      const ended = await loom([...args]);
      expect(ended).toMatchObject({ code: 125, stdout: "" });
      expect(ended.stderr).toContain(`[${error}]`);
    },
  );

  test("without a hub fails with 125 too", async ({ loom }) => {
    const env = { LOOM_URL: "http://127.0.0.1:9", LOOM_TOKEN: "x" };
    const ended = await loom(["exec", "--", "true"], { env });
    expect(ended).toMatchObject({ code: 125, stderr: expect.stringContaining("[HUB_AWAY]") });
  });

  test("an array names its lines, lists the exit codes, and ends with the highest", async ({
    loom,
    queue,
    tower,
  }) => {
    const ended = loom(["exec", "--sweep", "lr=1,2,3", "--", "train", "{lr}"]);
    await untilWaiting(queue, 3);
    for (const [index, exitCode] of [0, 4, 1].entries()) {
      const held = await beginStep(queue, tower, [`ran ${exitCode}`], index + 1);
      const outcome =
        exitCode === 0
          ? { outcome: "succeeded" as const, result: { exitCode } }
          : failedWith({ code: "COMMAND_FAILED", exitCode });
      await queue.settle("tower", [{ ...held, ...outcome }]);
    }
    const { code, stdout, stderr } = await ended;
    expect(code).toBe(4);
    expect(stdout.split("\n").sort()).toEqual(["", "0 | ran 0", "1 | ran 4", "2 | ran 1"]);
    expect(stderr).toContain("1 of 3 done, 2 failed\nexit 4: 1\nexit 1: 2\n");
    expect(stderr).toMatch(/loom retry [0-9a-f]{8}/);
  });

  test("Ctrl-C cancels, and a second one leaves it running and says how to follow it", async ({
    terminal,
    queue,
    tower,
  }) => {
    const screen = terminal(["exec", "--", "train"]);
    await untilCancelled(screen, queue, tower);
    screen.type("\u0003");
    await screen.shows(/it goes on; follow it: loom attach [0-9a-f]{8}/);
    expect(await screen.exit()).toBe(130);
  });

  test("Ctrl-C and a command that ends of it: the program ends with 130", async ({
    terminal,
    queue,
    tower,
  }) => {
    const screen = terminal(["exec", "--", "train"]);
    const held = await untilCancelled(screen, queue, tower);
    await queue.settle("tower", [{ ...held, ...failedWith({ code: "CANCELLED" }) }]);
    expect(await screen.exit()).toBe(130);
  });

  test("a terminal that is closed leaves the command running", async ({ start, queue, tower }) => {
    const child = start(["exec", "--", "train"]);
    await untilWaiting(queue);
    const held = await beginStep(queue, tower, ["epoch 1\n"]);
    await once(child.stdout ?? child, "data");
    child.kill("SIGHUP");
    expect((await once(child, "exit"))[0]).toBe(129);
    expect(await queue.getJob(held.id)).toMatchObject({
      state: "running",
      cancelRequestedAt: null,
    });
  });

  test("a reader that goes away, as head does, cancels the command", async ({
    start,
    queue,
    tower,
  }) => {
    const child = start(["exec", "--", "yes"]);
    await untilWaiting(queue);
    const held = await beginStep(queue, tower, ["y\n"]);
    await once(child.stdout ?? child, "data");
    child.stdout?.destroy();
    await queue.appendLog({ node: "tower", ...held }, [{ start: 2, chunk: "y\n" }]);
    expect((await once(child, "exit"))[0]).toBe(141);
    expect(await cancelledAt(queue, held.id)).not.toBeNull();
  });

  test("--json prints what it started, each piece of output, and how it ended", async ({
    loom,
    queue,
    tower,
  }) => {
    const ended = loom(["--json", "exec", "--", "train"]);
    await untilWaiting(queue);
    const held = await beginStep(queue, tower, ["one\n"]);
    await queue.settle("tower", [{ ...held, outcome: "succeeded", result: { exitCode: 0 } }]);
    const { code, stdout, stderr } = await ended;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { version: 1, run: { runId: expect.any(String) } },
      { version: 1, log: { step: "command", text: "one\n" } },
      { version: 1, run: { status: "succeeded" } },
    ]);
  });

  test("attach leaves what somebody else's command makes with its run, unless it is asked", async ({
    loom,
    queue,
    tower,
  }) => {
    const asked = await loom(["token", "add", "eve", "--scope", "read,run,exec"]);
    /** Starts a command and ends it, with a file that it has not made. */
    const end = async (seq: number, env: Record<string, string> = {}) => {
      const started = await loom(["exec", "-d", "--out", ".envrc", "--", "train"], { env });
      const { id, fence } = await beginStep(queue, tower, [], seq);
      const result = { exitCode: 0, out: null, missing: [".envrc"] };
      await queue.settle("tower", [{ id, fence, outcome: "succeeded", result }]);
      return started.stdout.trim();
    };
    const tried = "the command made no .envrc";
    const mine = await loom(["attach", await end(1)]);
    expect(mine).toMatchObject({ code: 0, stderr: expect.stringContaining(tried) });
    const id = await end(2, { LOOM_TOKEN: asked.stdout.trim() });
    const left = await loom(["attach", id]);
    expect(left).toMatchObject({ code: 0, stderr: expect.stringContaining("token eve started") });
    expect(left.stderr).not.toContain(tried);
    expect((await loom(["attach", "--out", id])).stderr).toContain(tried);
    expect((await loom(["attach", "--no-out", id])).stderr).toBe("");
  });

  test("attach is for commands, and names the command for other runs", async ({ loom, made }) => {
    await made.nodes();
    const id = await made.run("visit");
    const { code, stderr } = await loom(["attach", id]);
    expect(code).toBe(125);
    expect(stderr).toContain(`loom logs -f ${id.slice(0, 8)}`);
  });
});
