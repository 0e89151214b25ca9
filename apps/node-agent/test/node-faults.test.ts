import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { only, databaseTest as test } from "@loom/queue/testing";
import { describe, expect, onTestFinished } from "vitest";
import { openSite, startForge, startVisit } from "./forge.ts";
import { clockOff, runAgent, stateDir } from "./program.ts";

/** Waits for a fact, however busy the machine is. */
const poll = <Value>(read: () => Value) => expect.poll(read);

/** A folder of the first version of control groups that counts processes, where one can be made. */
const PIDS = "/sys/fs/cgroup/pids";
const mayLimit = (() => {
  const folder = path.join(PIDS, `loom-try-${process.pid}`);
  try {
    mkdirSync(folder);
    const isUsable = existsSync(path.join(folder, "pids.max"));
    rmdirSync(folder);
    return isUsable;
  } catch {
    return false;
  }
})();

/** What takes a machine its ability to start steps, and gives it back. */
const FAULTS: {
  title: string;
  runs: boolean;
  reason: RegExp;
  break: (agent: { pid: number; node: string; cwd: string }) => () => void;
}[] = [
  {
    title: "Node is gone",
    runs: true,
    reason: /Node is not at .* any more/,
    break({ node }) {
      rmSync(node);
      return () => copyFileSync(process.execPath, node);
    },
  },
  {
    title: "Node is another file",
    runs: true,
    reason: /no step can be started here: /,
    break({ node }) {
      rmSync(node);
      writeFileSync(node, "#!/bin/sh\necho 'not the Node that you know' >&2\nexit 1\n", {
        mode: 0o755,
      });
      return () => {
        rmSync(node);
        copyFileSync(process.execPath, node);
      };
    },
  },
  {
    title: "its folder is gone",
    runs: true,
    reason: /the folder .* is gone/,
    break({ cwd }) {
      rmdirSync(cwd);
      return () => mkdirSync(cwd);
    },
  },
  {
    title: "it may open no more files",
    runs: process.platform === "linux",
    reason: /too many open files \(EMFILE\)|no step can be started/,
    break({ pid }) {
      const open = readdirSync(`/proc/${pid}/fd`).length;
      const limit = (files: string) =>
        execFileSync("prlimit", ["--pid", String(pid), `--nofile=${files}`]);
      limit(`${open + 3}:4096`);
      return () => limit("4096:4096");
    },
  },
  {
    title: "it may start no more processes",
    runs: mayLimit,
    reason: /may start no more processes \(EAGAIN\)/,
    break({ pid }) {
      const folder = path.join(PIDS, `loom-test-${pid}`);
      mkdirSync(folder);
      onTestFinished(() => {
        for (const member of readFileSync(path.join(folder, "cgroup.procs"), "utf8").split("\n")) {
          if (member !== "") writeFileSync(path.join(PIDS, "cgroup.procs"), member);
        }
        rmdirSync(folder);
      });
      writeFileSync(path.join(folder, "cgroup.procs"), String(pid));
      writeFileSync(
        path.join(folder, "pids.max"),
        readFileSync(path.join(folder, "pids.current"), "utf8"),
      );
      return () => writeFileSync(path.join(folder, "pids.max"), "max");
    },
  },
];

describe("a machine that can start no step", () => {
  for (const fault of FAULTS) {
    test.runIf(fault.runs)(
      `gives its jobs back at no cost, says so, and recovers: ${fault.title}`,
      async ({ database, queue }) => {
        const LOOM_STATE_DIR = stateDir();
        const folder = stateDir();
        const [node, cwd] = [path.join(folder, "node"), path.join(folder, "work")];
        copyFileSync(process.execPath, node);
        mkdirSync(cwd);
        const agent = await startForge(
          database,
          { LOOM_STATE_DIR, LOOM_LEASE_MS: "3000" },
          { node, cwd },
        );
        const status = async () =>
          JSON.parse((await runAgent({ LOOM_STATE_DIR }, ["status", "--json"])).output);
        await poll(async () => (await status()).ready).toBe(true);

        const fix = fault.break({ pid: agent.child.pid ?? 0, node, cwd });
        const site = await openSite((response) => response.end("hello"));
        const { runId } = await startVisit(queue, site.url);
        await agent.said("this machine cannot run steps: it claims nothing");
        expect(await status()).toMatchObject({
          ready: false,
          fault: { reason: expect.stringMatching(fault.reason) },
        });
        const { output } = await runAgent({ LOOM_STATE_DIR }, ["status"]);
        expect(output).toMatch(/not ready.*fault {6}no step can be started here/s);
        await poll(async () => only(await queue.listNodes())).toMatchObject({
          capabilities: expect.not.arrayContaining(["workflow:visit"]),
          facts: { fault: { reason: expect.stringMatching(fault.reason) } },
        });
        expect(only((await queue.getRun(runId)).jobs)).toMatchObject({
          state: "pending",
          attempt: 0,
          crashRestarts: 0,
        });

        fix();
        await poll(async () => (await queue.getRun(runId)).jobs).toMatchObject([
          { state: "succeeded", attempt: 1, crashRestarts: 0 },
        ]);
        expect(await status()).toMatchObject({ ready: true, fault: null });
        await poll(async () => only(await queue.listNodes()).facts.fault).toBeUndefined();
      },
      90_000,
    );
  }
});

test.for([1, -1])(
  "a clock that is off by a day (%s) does not matter: the database's own decides",
  { timeout: 60_000 },
  async (days, { database, queue }) => {
    const agent = await startForge(database, {
      NODE_OPTIONS: clockOff(days),
      LOOM_LEASE_MS: "3000",
    });
    // It works through more than one lease.
    const startedAt = performance.now();
    await poll(async () => {
      expect(await queue.listNodes()).toMatchObject([{ name: "forge", online: true }]);
      return performance.now() - startedAt;
    }).toBeGreaterThan(5_000);
    const site = await openSite((response) => void response.end("seen"));
    const { runId } = await startVisit(queue, site.url);
    await poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
    const [row] = await database.sql<{ isNow: boolean }[]>`
      select finished_at between now() - interval '1 minute' and now() as "isNow" from public.loom_job_queue`;
    expect(row?.isNow).toBe(true);
    expect(await queue.verify()).toEqual([]);
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
  },
);
