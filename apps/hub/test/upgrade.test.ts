import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { createCodeStore, keyIdOf, loadSigningKey, packSource } from "@loom/code";
import { createBundler } from "@loom/code/bundle";
import { databaseTest as test } from "@loom/queue/testing";
import { planRun } from "@loom/scheduler";
import { defineWorkflow } from "@loom/workflow";
import { describe, expect, onTestFinished } from "vitest";
import { makeAgent, setUpMachine } from "./upgrade-machine.ts";

const poll = <Value>(read: () => Value) => expect.poll(read, { timeout: 40_000, interval: 100 });

/** A crash of the program's start, which loading it does not show. */
const crash = (main: string) =>
  `${main}\nif (process.argv[2] === "start") process.kill(process.pid, "SIGKILL");\n`;

/** A path on which unpacking fails as it does on a full disk. */
function fullDisk(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-full-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const script =
    "#!/bin/sh\necho 'tar: lib/main.mjs: Wrote only 512 of 10240 bytes: No space left on device' >&2\nexit 2\n";
  writeFileSync(path.join(folder, "tar"), script, { mode: 0o755 });
  return `${folder}:${process.env.PATH}`;
}

describe("the upgrade of a node", { timeout: 90_000 }, () => {
  test("finishes what runs, loses nothing, and keeps the process", async ({ database, queue }) => {
    const machine = await setUpMachine({ database, queue });
    // A step that waits until this test lets it end.
    const asked = Promise.withResolvers<() => void>();
    const site = createServer((_, response) => asked.resolve(() => response.end("done")));
    await new Promise<void>((resolve) => site.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void site.close());
    const { port } = site.address() as AddressInfo;
    const file = path.join(machine.home, "visit.ts");
    writeFileSync(
      file,
      `import { defineWorkflow } from "@loom/workflow";
export const visit = defineWorkflow({ name: "visit" }).step("only", {}, async () => (await fetch("http://127.0.0.1:${port}")).text());`,
    );
    const store = createCodeStore({
      folder: path.join(machine.home, "code"),
      publicKey: machine.key.publicKey,
    });
    const { digest } = await createBundler({ store, key: machine.key })(file);
    const code = await store.read(digest);
    if (!code) throw new Error("the bundle is gone");
    const { statement, manifest, signature, source } = code;
    await queue.storeCode(digest, {
      ...{ workflows: ["visit"], key: keyIdOf(machine.key.publicKey) },
      ...{
        signed: { name: statement.name, manifest, signature },
        source: await packSource(source),
      },
    });
    machine.start();
    await poll(() => machine.agent()).toMatchObject({ digest: machine.first.digest });
    const planned = defineWorkflow({ name: "visit" }).step(
      "only",
      { host: "forge" },
      async () => {},
    );
    const run = await queue.startRun(planRun(planned, { version: digest, externals: [] }));
    const letEnd = await asked.promise;

    machine.hub.agent = await makeAgent(2, { key: machine.key });
    const { status, body } = await machine.post("nodes/forge/upgrade");
    expect([status, body.ordered]).toEqual([200, ["forge"]]);
    await poll(() => machine.output.join("\n")).toContain("a new agent is here");
    // The old one goes on while the step does.
    expect(await machine.agent()).toMatchObject({
      ...{ digest: machine.first.digest, isPresent: false, isOrdered: true },
    });
    await poll(() => machine.agent()).toMatchObject({
      drainsUntil: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    const pid = machine.pid();
    letEnd();
    await poll(() => machine.agent()).toEqual({
      ...{
        digest: machine.hub.agent.digest,
        isPresent: true,
        isOrdered: false,
        drainsUntil: null,
        problem: null,
      },
    });
    await poll(() => machine.current()).toBe(`agent-${machine.hub.agent.digest}`);
    expect(machine.marker()).toMatchObject({ state: "done", tries: 1 });
    expect([machine.pid(), machine.starts()]).toEqual([pid, 1]);
    const jobs = (await queue.getRun(run.runId))?.jobs;
    expect(jobs).toMatchObject([{ state: "succeeded", attempt: 1 }]);
    expect((await machine.post("nodes/forge/upgrade")).body.code).toBe("NODE_NOT_UPGRADABLE");
    expect((await machine.post("nodes/upgrade")).body).toMatchObject({
      ...{ ordered: [], skipped: [{ node: "forge", reason: "has this agent already" }] },
    });
  });

  test("goes back when the new agent crashes at its start, and tries again only when it is asked", async ({
    database,
    queue,
  }) => {
    const machine = await setUpMachine({ database, queue }, { LOOM_UPGRADE: "auto" });
    machine.hub.agent = await makeAgent(2, { key: machine.key, change: crash });
    machine.start();
    await poll(() => machine.agent()).toMatchObject({
      digest: machine.first.digest,
      problem: expect.stringContaining("ended 3 times before it reported"),
    });
    expect(machine.marker()).toMatchObject({ state: "failed", tries: 3 });
    expect(machine.current()).toBe(`agent-${machine.first.digest}`);
    const starts = machine.starts();
    // Another start: it looks, and leaves it.
    machine.kill("SIGTERM");
    await poll(() => machine.starts()).toBe(starts + 1);
    await poll(() => machine.agent()).toMatchObject({ problem: expect.any(String) });
    await machine.post("nodes/forge/upgrade");
    await poll(() => machine.starts()).toBeGreaterThan(starts + 1);
  });

  test("goes back when the new agent throws at its start or does not report in time", async ({
    database,
    queue,
  }) => {
    const machine = await setUpMachine({ database, queue });
    machine.start();
    await poll(() => machine.agent()).toMatchObject({ digest: machine.first.digest });
    // It is given a second, in which it reaches no database.
    machine.hub.agent = await makeAgent(2, {
      key: machine.key,
      change: (main) =>
        main
          .replace(/TRIAL_MS ?= ?(6e4|60_?000)/, "TRIAL_MS = 1000")
          .replace(
            /^(#!.*\n)?/,
            (line) =>
              `${line}if (process.argv[2] === "start") process.getBuiltinModule("node:net").Socket.prototype.connect = function () { return this.destroy(new Error("no network")); };\n`,
          ),
    });
    await machine.post("nodes/forge/upgrade");
    await poll(() => machine.agent()).toMatchObject({
      ...{ digest: machine.first.digest, isOrdered: false },
      problem: expect.stringContaining("did not report within"),
    });
    expect(machine.starts()).toBe(1);
  });

  test.for<[string, RegExp]>([
    ["other bytes", /other bytes than its name says/],
    ["another hub's signature", /not signed by the hub that this machine joined/],
    ["a lower sequence", /is not newer than the one that runs here/],
    ["a program that does not load", /does not load with Node/],
    ["what does not fit on the disk", /No space left on device.*make room there/],
    ["a folder of another user", /run the hub's line there again as root/],
  ])("refuses %s, and the agent goes on", async ([what, says], { database, queue }) => {
    const isForeign = what === "a folder of another user";
    const asRoot = process.getuid?.() === 0;
    const machine = await setUpMachine(
      { database, queue },
      what === "what does not fit on the disk" ? { PATH: fullDisk() } : {},
      isForeign && asRoot ? 65_501 : undefined,
    );
    const { key } = machine;
    const other = await loadSigningKey(path.join(machine.home, "other-key"));
    const good = await makeAgent(2, { key });
    const offers = {
      "other bytes": { ...good, archive: (await makeAgent(3, { key })).archive },
      "another hub's signature": await makeAgent(2, { key: other }),
      "a lower sequence": await makeAgent(0, { key }),
      "a program that does not load": await makeAgent(2, { key, change: () => "}" }),
      "a folder of another user": good,
      "what does not fit on the disk": good,
    };
    machine.hub.agent = offers[what as keyof typeof offers];
    if (isForeign && !asRoot) {
      chmodSync(machine.folder, 0o555);
      onTestFinished(() => chmodSync(machine.folder, 0o755));
    }
    machine.start();
    await poll(() => machine.agent()).toMatchObject({ digest: machine.first.digest });
    await machine.post("nodes/forge/upgrade");
    await poll(() => machine.agent()).toMatchObject({
      ...{ digest: machine.first.digest, isOrdered: false, problem: expect.stringMatching(says) },
    });
    expect([machine.starts(), machine.current()]).toEqual([1, `agent-${machine.first.digest}`]);
    expect(existsSync(path.join(machine.state, "upgrade.json"))).toBe(false);
  });

  describe("that was killed", () => {
    const ended = async (machine: Awaited<ReturnType<typeof setUpMachine>>, digest: string) => {
      await poll(() => machine.agent()).toMatchObject({ digest, isOrdered: false, problem: null });
      await poll(() => machine.marker()).toMatchObject({ state: "done", to: digest });
      expect(machine.current()).toBe(`agent-${digest}`);
    };

    test("while it fetched begins again, and the hub may break off half-way", async ({
      database,
      queue,
    }) => {
      const machine = await setUpMachine({ database, queue });
      const next = await makeAgent(2, { key: machine.key });
      machine.hub.agent = next;
      // A killed upgrade left this half-unpacked.
      mkdirSync(path.join(machine.folder, `agent-${next.digest}.upgrade`, "lib"), {
        recursive: true,
      });
      const stalled = Promise.withResolvers<void>();
      let asked = 0;
      machine.played.answer = ({ pathname }) => {
        if (!pathname.endsWith(".tgz")) return undefined;
        asked += 1;
        if (asked > 2) return undefined;
        if (asked === 1) stalled.resolve();
        const part = next.archive.subarray(0, 1000);
        return new Response(
          new ReadableStream({
            start(controller) {
              controller.enqueue(new Uint8Array(part));
              if (asked === 2) setTimeout(() => controller.error(new Error("cut off")), 50);
            },
          }),
        );
      };
      machine.start();
      await poll(() => machine.agent()).toMatchObject({ digest: machine.first.digest });
      await machine.post("nodes/forge/upgrade");
      await stalled.promise;
      machine.kill("SIGKILL");
      await ended(machine, next.digest);
      expect(asked).toBe(3);
      expect(existsSync(path.join(machine.folder, `agent-${next.digest}.upgrade`))).toBe(false);
    });

    test("when the new agent was in its place takes that one", async ({ database, queue }) => {
      const machine = await setUpMachine({ database, queue });
      const next = await makeAgent(2, { key: machine.key });
      machine.unpack(next);
      machine.hub.agent = { ...next, archive: Buffer.from("not fetched again") };
      machine.start();
      await poll(() => machine.agent()).toMatchObject({ digest: machine.first.digest });
      await machine.post("nodes/forge/upgrade");
      await ended(machine, next.digest);
    });

    test.for<[string, number, boolean]>([
      ["before it became the new agent", 0, false],
      ["after the new agent reported, before that was noted", 1, true],
    ])("%s ends with the new one", async ([, tries, isLinked], { database, queue }) => {
      const machine = await setUpMachine({ database, queue });
      const next = await makeAgent(2, { key: machine.key });
      machine.unpack(next);
      machine.hub.agent = next;
      const link = path.join(machine.folder, "current");
      if (isLinked) {
        rmSync(link);
        symlinkSync(`agent-${next.digest}`, link);
      }
      const marker = { state: "trial", order: null, from: machine.first.digest, to: next.digest };
      const startedAt = new Date().toISOString();
      writeFileSync(
        path.join(machine.state, "upgrade.json"),
        JSON.stringify({ ...marker, startedAt, tries }),
      );
      machine.start();
      await ended(machine, next.digest);
    });

    test("once before it reported is started again by the one of before", async ({
      database,
      queue,
    }) => {
      const machine = await setUpMachine({ database, queue });
      const once = path.join(machine.home, "once");
      machine.hub.agent = await makeAgent(2, {
        key: machine.key,
        change: (main) =>
          `${main}
if (process.argv[2] === "start" && !process.getBuiltinModule("node:fs").existsSync("${once}")) {
  process.getBuiltinModule("node:fs").writeFileSync("${once}", "");
  process.kill(process.pid, "SIGKILL");
}
`,
      });
      machine.start();
      await poll(() => machine.agent()).toMatchObject({ digest: machine.first.digest });
      await machine.post("nodes/forge/upgrade");
      await ended(machine, machine.hub.agent.digest);
      expect(machine.marker()).toMatchObject({ tries: 2 });
      expect(machine.starts()).toBe(2);
    });
  });
});
