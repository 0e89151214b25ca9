import { describe, expect } from "vitest";
import { beginStep, finishAll, test } from "./fixtures.ts";

describe("loom", { timeout: 120_000 }, () => {
  test("runs a workflow, and prints the id alone", async ({ loom, made, queue }) => {
    await made.nodes();
    const { code, stdout, stderr } = await loom(["run", "visit", "-i", "greeting=1.0"]);
    expect(code).toBe(0);
    const id = stdout.trim();
    expect(stdout).toMatch(/^[0-9a-f-]{36}\n$/);
    expect(stderr).toBe("");
    expect((await queue.getRun(id)).input).toEqual({ greeting: "1.0" });
  });

  test.for([
    [["-i", "times=3", "-i", "loud=true"], { greeting: "Hello", times: 3, loud: true }],
    [["-i", '{"greeting":"a"}', "-i", "times=2"], { greeting: "a", times: 2 }],
    [["-i", "greeting=a=b c"], { greeting: "a=b c" }],
    [["--input-file", "-", "-i", "times=2"], { greeting: "piped", times: 2 }],
  ] as const)("reads the input of %j", async ([args, expected], { loom, made, queue }) => {
    await made.nodes();
    // As a file of Windows: with a mark in front, and its line ends.
    const input = '\ufeff{\r\n  "greeting": "piped"\r\n}\r\n';
    const { stdout, stderr } = await loom(["run", "visit", ...args], { input });
    expect(stderr).toBe("");
    expect((await queue.getRun(stdout.trim())).input).toEqual(expected);
  });

  test("waits for a run, and ends as it does", async ({ made, queue, start }) => {
    const { pi } = await made.nodes();
    const waiting = start(["run", "visit", "--wait"]);
    const text = new Promise<string>((resolve) => {
      let seen = "";
      waiting.stderr?.on("data", (chunk) => {
        seen += chunk;
        if (/run [0-9a-f-]{36}/.test(seen)) resolve(seen);
      });
    });
    await text;
    const held = await beginStep(queue, pi);
    await queue.settle("pi", [{ ...held, outcome: "failed", error: { message: "no disk" } }]);
    const code = await new Promise((resolve) => waiting.once("exit", resolve));
    expect(code).toBe(10);
  });

  test("lists what runs, and what has ended", async ({ loom, made, queue }) => {
    await made.nodes();
    expect(await loom(["ps"])).toMatchObject({
      code: 0,
      stdout: "",
      stderr: "nothing runs: loom runs lists what has ended\n",
    });
    const id = await made.run("visit");
    const ps = await loom(["ps"]);
    expect(ps.stdout).toMatch(/^RUN +WORKFLOW +STEPS/);
    expect(ps.stdout).toContain(`${id.slice(0, 8)}  visit     0/2`);
    await finishAll(queue);
    const runs = await loom(["runs", "--status", "succeeded"]);
    expect(runs.stdout).toContain(`${id.slice(0, 8)}  visit     succeeded`);
    // Nothing but text where no terminal is.
    expect(runs.stdout).not.toContain("\u001b");
    const shown = await loom(["show", id.slice(0, 8)]);
    expect(shown.stdout).toContain(`run       ${id}`);
    expect(shown.stdout).toMatch(/^here +\d+ +succeeded +pi/m);
  });

  test("shows a workflow, with its input and whether it can run", async ({ loom, made }) => {
    await made.nodes();
    const { stdout } = await loom(["show", "visit"]);
    expect(stdout).toMatch(/^visit \([0-9a-f]{12}\)/);
    expect(stdout).toMatch(/^here +there +2 nodes can take it now$/m);
    expect(stdout).toMatch(/^greeting +string +default "Hello"$/m);
  });

  test("prints the output of a job, whole and its last lines", async ({ loom, made, queue }) => {
    const { pi } = await made.nodes();
    const id = await made.run("visit");
    // Binary output stays what it is, as far as the database can hold it.
    const held = await beginStep(queue, pi, ["one\ntwo \u0007é\r\nthree"]);
    const job1 = String(held.id);
    expect((await loom(["logs", job1])).stdout).toBe("one\ntwo \u0007é\r\nthree");
    expect((await loom(["logs", job1, "--tail", "1"])).stdout).toBe("three");
    expect((await loom(["logs", id, "there"])).stdout).toBe("one\ntwo \u0007é\r\nthree");
    expect((await loom(["logs", "visit", "--tail", "2"])).stdout).toBe("two \u0007é\r\nthree");
  });

  test("cancels runs and jobs, retries and repeats them", async ({ loom, made, queue }) => {
    await made.nodes();
    const id = await made.run("visit");
    const cancelled = await loom(["cancel", id.slice(0, 6)]);
    expect(cancelled).toMatchObject({ code: 0, stderr: `run ${id.slice(0, 8)}: cancelled\n` });
    const retried = (await loom(["retry", id, "--from", "here"])).stdout.trim();
    expect(await queue.getRun(retried)).toMatchObject({ retryOf: id, status: "running" });
    const again = (await loom(["rerun", id, "-i", "greeting=Bye"])).stdout.trim();
    expect((await queue.getRun(again)).input).toEqual({ greeting: "Bye" });
    expect((await loom(["cancel", retried, again])).code).toBe(0);
    expect((await loom(["cancel", "1"])).stderr).toBe("job 1: finished\n");
  });

  test("says why a run waits, and what to do", async ({ loom, made }) => {
    expect((await loom(["why"])).stdout).toBe("nothing waits\n");
    const { pi } = await made.nodes();
    expect(pi.node).toBe("pi");
    await loom(["node", "pause", "tower", "--note", "lunch"]);
    const id = await made.run("train");
    const { stdout } = await loom(["why", id]);
    expect(stdout).toMatch(/^train \/ fit {2}waiting, /);
    expect(stdout).toContain("why      1 node could run it: tower is paused");
    expect(stdout).toContain("nearest  tower: is paused");
    expect(stdout).toContain("fix      loom node resume tower\n");
    expect((await loom(["why", "train"])).stdout).toContain("fix      loom node resume tower");
    // The command that it names helps.
    expect((await loom(["node", "resume", "tower"])).stderr).toBe("tower is active\n");
    expect((await loom(["why"])).stdout).not.toContain("paused");
    await loom(["workflow", "pause", "train"]);
    expect((await loom(["why"])).stdout).toContain("fix      loom workflow resume train");
  });

  test("steers nodes", async ({ loom, made, queue }) => {
    await made.nodes();
    expect((await loom(["node", "ls"])).stdout).toMatch(
      /^tower +active +0\/10 +\S+ ago +has-gpu$/m,
    );
    await loom(["node", "pause", "tower", "--for", "1h"]);
    expect((await loom(["node", "show", "tower"])).stdout).toMatch(/^paused +ends in 59m$/m);
    expect((await loom(["node", "drain", "tower", "--wait"])).stderr).toBe(
      "tower is draining\nnothing runs on tower\n",
    );
    expect((await loom(["node", "remove", "tower"])).stderr).toContain("forgot tower");
    expect((await queue.listNodes()).map(({ name }) => name)).toEqual(["pi"]);
  });

  test("lists, triggers and pauses schedules", async ({ loom, made }) => {
    await made.nodes();
    expect((await loom(["schedule", "ls"])).stdout).toMatch(
      /^nightly +nightly +30 2 \* \* \* \(UTC\) +in \S+ +never$/m,
    );
    expect((await loom(["schedule", "trigger", "nightly"])).stdout).toMatch(/^[0-9a-f-]{36}\n$/);
    expect((await loom(["schedule", "pause", "nightly"])).stderr).toBe("nightly is paused\n");
    expect((await loom(["schedule", "ls"])).stdout).toMatch(/paused$/m);
    expect((await loom(["schedule", "resume", "nightly"])).stderr).toBe("nightly is active\n");
  });

  test("lists the queue and past events", async ({ loom, made }) => {
    const id = await made.run("visit", "--allow-unsatisfiable");
    expect((await loom(["queue"])).stdout).toMatch(/^1 +waiting +visit +there/m);
    const { stdout } = await loom(["events", "--run", id.slice(0, 8)]);
    const lines = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(lines[0]).toMatchObject({ version: 1, event: { type: "run.started", runId: id } });
    expect(lines.every(({ event }) => event.runId === id)).toBe(true);
  });

  test("makes tokens that work until they are revoked", async ({ loom, hub }) => {
    const { stdout, stderr } = await loom([
      "token",
      "add",
      "ci",
      "--scope",
      "read",
      "--expires",
      "90d",
    ]);
    const env = { LOOM_URL: hub.url, LOOM_TOKEN: stdout.trim() };
    expect((await loom(["ps"], { env })).code).toBe(0);
    expect((await loom(["run", "visit"], { env })).code).toBe(4);
    const [, id = ""] = /loom token revoke (\S+)/.exec(stderr) ?? [];
    expect((await loom(["token", "ls"])).stdout).toMatch(new RegExp(`^${id} +ci +read`, "m"));
    expect((await loom(["token", "revoke", id])).stderr).toBe("ci is revoked\n");
    expect((await loom(["ps"], { env })).code).toBe(4);
  });

  test("checks workflows, and ends with 1 where one could never run", async ({ loom, made }) => {
    const { pi } = await made.nodes();
    expect(pi.node).toBe("pi");
    expect(await loom(["check"])).toMatchObject({ code: 0, stderr: "5 workflows can be used\n" });
    await loom(["node", "remove", "tower"]);
    const { code, stdout } = await loom(["check"]);
    expect(code).toBe(1);
    expect(stdout).toContain("train / fit: no known node offers has-gpu");
  });

  test("prints the address of what is to be opened", async ({ loom, made, hub }) => {
    await made.nodes();
    const id = await made.run("visit");
    expect((await loom(["open"])).stdout).toBe(`${hub.url}\n`);
    expect((await loom(["open", id.slice(0, 8)])).stdout).toBe(`${hub.url}/runs/${id}\n`);
    expect((await loom(["open", "visit"])).stdout).toBe(`${hub.url}/workflows/visit\n`);
  });
});
