import { once } from "node:events";
import { describe, expect } from "vitest";
import { beginStep, shapeOf, test } from "./fixtures.ts";

describe("--json", { timeout: 240_000 }, () => {
  test("has a versioned shape for every command", async ({ loom, made, queue, folder, hub }) => {
    const { pi } = await made.nodes();
    const shapes: Record<string, unknown> = {};
    /** Keeps the shape of what a command printed, and returns it: one value on one line. */
    const keep = async (...args: string[]) => {
      const { stdout, stderr } = await loom(["--json", ...args]);
      const lines = stdout.trimEnd().split("\n");
      expect({ args, count: lines.length, stderr }).toEqual({ args, count: 1, stderr: "" });
      const value = JSON.parse(lines[0] ?? "");
      expect(value.version).toBe(1);
      const name = args.filter((word) => /^[a-z-]+$/.test(word)).join(" ");
      // What the doctor finds depends on how long the test takes.
      for (const check of value.diagnosis?.checks ?? []) check.findings = [];
      shapes[name] = shapeOf(value);
      return value;
    };

    const { run: started } = await keep("run", "visit");
    const id = started.runId;
    const held = await beginStep(queue, pi, ["one\n"]);
    await keep("ps");
    await keep("runs");
    await keep("show", id);
    await keep("show", "1");
    await keep("show", "visit");
    await keep("logs", id);
    await keep("why", id);
    await queue.settle("pi", [{ ...held, outcome: "failed", error: { message: "no disk" } }]);
    const { run: retried } = await keep("retry", id);
    await keep("rerun", id);
    await keep("why");
    const { run: asking } = await keep("run", "ask");
    await keep("approvals");
    await keep("approve", asking.runId, "ship");
    await keep("reject", asking.runId);
    await keep("queue");
    await keep("cancel", retried.runId);
    await keep("top");

    await keep("exec", "--explain", "--", "true");
    await keep("exec", "--detach", "--allow-unsatisfiable", "--", "true");
    await keep("workflow", "ls");
    await keep("workflow", "pause", "visit");
    await keep("workflow", "resume", "visit");
    await keep("node", "ls");
    await keep("node", "show", "tower");
    await keep("node", "pause", "tower");
    await loom(["run", "train"]);
    await keep("why", "train");
    await keep("node", "remove", "tower");
    await keep("schedule", "ls");
    await keep("schedule", "trigger", "nightly");
    await keep("schedule", "pause", "nightly");
    await keep("doctor");
    await keep("check");
    await keep("open");
    await keep("types", "-");
    await keep("completion", "bash");
    const { token } = await keep("token", "add", "ci", "--scope", "read");
    await keep("token", "ls");
    await keep("token", "revoke", token.id);
    const chat = await loom(["hook", "add", "chat", "--on", "run.failed", "--webhook", "--json"], {
      input: "https://example.org/hook",
    });
    shapes["hook add"] = shapeOf(JSON.parse(chat.stdout));
    await keep("hook", "test", "chat", "--no-wait");
    await keep("hook", "ls");
    await keep("hook", "deliveries", "chat");
    await keep("hook", "disable", "chat");
    await keep("hook", "rm", "chat");

    expect(folder).not.toBe("");
    const login = await loom(["login", hub.url, "--name", "home", "--json"], {
      input: "a-token-for-this-test",
    });
    shapes.login = shapeOf(JSON.parse(login.stdout));
    await keep("context", "ls");
    await keep("context", "use", "home");
    await keep("context", "rm", "home");
    expect(shapes).toMatchSnapshot();
  });

  test("is one value a line where a command goes on", async ({ made, queue, start }) => {
    await made.nodes();
    const following = start(["run", "visit", "--follow", "--json"]);
    const exit = once(following, "exit");
    let stdout = "";
    for await (const part of following.stdout ?? []) {
      stdout += part;
      const [first] = stdout.split("\n");
      if (first && stdout.split("\n").length === 2) {
        await queue.cancelRun(JSON.parse(first).run.runId);
      }
    }
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines.every(({ version }) => version === 1)).toBe(true);
    expect(lines.at(0)).toMatchObject({ run: { returned: "created" } });
    expect(lines.slice(1, -1).every(({ event }) => event)).toBe(true);
    expect(lines.at(-1)).toMatchObject({ run: { status: "cancelled" } });
    expect((await exit)[0]).toBe(11);
  });
});
