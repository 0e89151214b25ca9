import { randomUUID } from "node:crypto";
import { readdirSync } from "node:fs";
import path from "node:path";
import type { Queue } from "@loom/queue";
import { describe, expect } from "vitest";
import { makeFolders, planForAgent, startAgentProcess, startCable } from "./agent-process.ts";
import { over, recordedIn, test } from "./fixtures.ts";
import { patient } from "./workflows/patient.ts";

const REPLAYED = "an outcome of an earlier start was sent to the database";

/** A step that ended while the database was away, and whose outcome is on disk. */
async function stranded(
  { database, queue }: { database: { url: string; serviceKey: string }; queue: Queue },
  how: "cut" | "silence" = "cut",
) {
  const cable = await startCable(database.url);
  const folders = makeFolders();
  const settings = {
    url: cable.url,
    key: database.serviceKey,
    journal: folders.journal,
    leaseMs: 45_000,
    concurrency: 1,
    timeoutMs: 1_000,
  };
  const agent = startAgentProcess(settings);
  const { runId } = await queue.startRun(planForAgent(patient, { folder: folders.folder }));
  const pid = await folders.stepStarted();
  cable[how]();
  folders.letGo();
  await agent.said("outcome is kept in the journal until the database answers");
  return { agent, settings, runId, pid, cable, ...folders };
}

const entries = (journal: string) => readdirSync(journal).filter((name) => name.endsWith(".json"));

describe("while the database is away", () => {
  test.for([
    { how: "cut", title: "is cut" },
    { how: "silence", title: "loses every packet, and old connections are dead for good" },
  ] as const)(
    "a step finishes, and its outcome and output arrive later, when the network $title",
    async ({ how }, { queue, database }) => {
      const { runId, pid, cable, journal } = await stranded({ database, queue }, how);
      expect(entries(journal)).toHaveLength(1);
      expect(await queue.getRun(runId)).toMatchObject({ status: "running" });
      cable.reconnect();
      expect(await over(queue, runId)).toMatchObject({
        jobs: [{ state: "succeeded", crashRestarts: 0, result: { attempt: 1, pid } }],
      });
      expect(await recordedIn(queue, runId)).toMatch(/work has begun.*work is done/s);
      await expect.poll(() => entries(journal)).toEqual([]);
    },
  );

  test("the outcome survives the agent, and is recorded for its own attempt", async ({
    queue,
    database,
  }) => {
    const { agent, settings, runId, pid, cable, journal } = await stranded({ database, queue });
    agent.child.kill("SIGKILL");
    await agent.exited;
    cable.reconnect();
    const next = startAgentProcess(settings);
    expect(await over(queue, runId)).toMatchObject({
      jobs: [{ state: "succeeded", crashRestarts: 0, result: { attempt: 1, pid } }],
    });
    expect(await recordedIn(queue, runId)).toMatch(/work has begun.*work is done/s);
    await expect.poll(() => entries(journal)).toEqual([]);
    expect(next.lines).toContainEqual(
      expect.objectContaining({ message: REPLAYED, answer: "accepted" }),
    );
  });

  // The embedded database has another port at each start, and a reset one is another database.
  test("the outcome is recorded when the database is back at another address, and in no other database", async ({
    queue,
    database,
  }) => {
    const { agent, settings, runId, journal } = await stranded({ database, queue });
    agent.child.kill("SIGKILL");
    await agent.exited;
    const { id } = await queue.describeDatabase();
    const moved = { ...settings, url: (await startCable(database.url)).url };

    await database.sql`update public.loom_database set id = gen_random_uuid()`;
    const elsewhere = startAgentProcess(moved);
    await elsewhere.said(
      "an outcome of an earlier start is for another database: it stays in the journal",
    );
    elsewhere.child.kill("SIGKILL");
    await elsewhere.exited;
    expect(entries(journal)).toHaveLength(1);

    await database.sql`update public.loom_database set id = ${id}`;
    startAgentProcess(moved);
    await over(queue, runId);
    await expect.poll(() => entries(journal)).toEqual([]);
  });

  test("an outcome that comes too late is refused, kept as evidence, and reported", async ({
    queue,
    database,
  }) => {
    const { agent, settings, runId, cable, journal } = await stranded({ database, queue });
    agent.child.kill("SIGKILL");
    await agent.exited;
    // Another start of the node has the job by now.
    const report = {
      name: "forge",
      incarnation: randomUUID(),
      leaseMs: 45_000,
      capabilities: [],
      slots: 1,
    };
    const { epoch } = await queue.hello(report);
    const answer = await queue.claim({ node: "forge", epoch }, { seq: 1, limit: 1 });
    expect(answer).toMatchObject({ jobs: [{ fence: 2 }] });
    cable.reconnect();
    const next = startAgentProcess(settings);
    await next.said("work that was done does not count: kept as evidence");
    expect(next.lines).toContainEqual(
      expect.objectContaining({ message: REPLAYED, answer: "stale" }),
    );
    expect(entries(path.join(journal, "refused"))).toHaveLength(1);
    expect(entries(journal)).toEqual([]);
    // And the agent works.
    expect(await over(queue, runId)).toMatchObject({
      jobs: [{ state: "succeeded", result: { attempt: 1 } }],
    });
  });
});
