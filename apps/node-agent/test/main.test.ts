import { databaseTest as test } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { openDoor, startForge, startVisit } from "./forge.ts";
import { startAgent } from "./program.ts";

const STACK = /\n\s+at /;

describe("loom-agent", () => {
  test("tells what its machine offers, its version and its lease", async ({ database, queue }) => {
    await startForge(database, { LOOM_SLOTS: "3", LOOM_LEASE_MS: "7000" });
    await expect
      .poll(() => queue.listNodes())
      .toMatchObject([
        {
          name: "forge",
          online: true,
          slots: 3,
          agentVersion: expect.stringMatching(/^\d+\.\d+\.\d+/),
          capabilities: expect.arrayContaining(["loom-agent", "has-door", "workflow:visit"]),
        },
      ]);
    expect(await database.sql`select lease_ms from public.loom_node_sessions`).toEqual([
      { lease_ms: 7_000 },
    ]);
  });

  // Unless it is told otherwise the agent looks again after 3.75 s or more.
  test("looks for work as often as it is told", async ({ database, queue }) => {
    await startForge(database);
    const door = await openDoor((response) => response.end("hello"));
    const startedAt = performance.now();
    for (const _ of ["one", "two"]) {
      const { runId } = await startVisit(queue, door.url);
      await expect.poll(async () => (await queue.getRun(runId)).status).toBe("succeeded");
    }
    expect(performance.now() - startedAt).toBeLessThan(3_500);
  });

  test("at SIGTERM finishes what it runs, and ends with 0", async ({ database, queue }) => {
    const agent = await startForge(database);
    const door = await openDoor();
    const { runId } = await startVisit(queue, door.url);
    const response = await door.visited;

    const stopping = agent.said("stopping: finishing what runs, claiming nothing more");
    agent.child.kill("SIGTERM");
    await stopping;
    response.end("welcome");
    expect(await agent.exited).toBe(0);
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "succeeded", ranOn: "forge", result: { node: "forge", heard: "welcome" } },
    ]);
  });

  test("gives back what does not end within its grace, at no cost", async ({ database, queue }) => {
    const agent = await startForge(database, { LOOM_GRACE_MS: "0" });
    const door = await openDoor();
    const { runId } = await startVisit(queue, door.url);
    await door.visited;
    agent.child.kill("SIGINT");
    expect(await agent.exited).toBe(0);
    expect((await queue.getRun(runId)).jobs).toMatchObject([
      { state: "pending", attempt: 0, crashRestarts: 0 },
    ]);
  });

  test("ends when another agent of its name has started", async ({ database }) => {
    const first = await startForge(database, { LOOM_LEASE_MS: "3000" });
    await startForge(database);
    expect(await first.exited).toBe(5);
    expect(first.output.at(-1)).toContain("loom-agent: another agent started as forge");
  });

  test("logs no key, and warns of one that can do everything", async ({ database }) => {
    const agent = await startForge(database, {
      LOOM_NODE_KEY: "",
      SUPABASE_SERVICE_ROLE_KEY: database.serviceKey,
    });
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
    const output = agent.output.join("\n");
    expect(output).toContain("SUPABASE_SERVICE_ROLE_KEY can do everything");
    expect(output).not.toContain(database.serviceKey);
  });

  test("ends when its key is another node's, saying so without a stack", async ({ database }) => {
    const key = await database.signKey({ role: "service_role", node: "anvil" });
    const agent = await startForge(database, { LOOM_NODE_KEY: key });
    expect(await agent.exited).toBe(4);
    const output = agent.output.join("\n");
    expect(output).toMatch(
      /loom-agent: .*this key acts for node anvil, not for forge.*LOOM_NODE_KEY/,
    );
    expect(output).not.toContain(key);
    expect(output).not.toMatch(STACK);
  });

  test("ends when the database lacks Loom's functions, saying what to do", async () => {
    const { url } = await openDoor((response) =>
      response
        .writeHead(404, { "content-type": "application/json" })
        .end(JSON.stringify({ code: "PGRST202", message: "no function" })),
    );
    const agent = startAgent({ SUPABASE_URL: url, LOOM_NODE_KEY: "key", LOOM_NODE_NAME: "forge" });
    expect(await agent.exited).toBe(5);
    expect(agent.output.at(-1)).toMatch(/loom-agent: .*Apply the migrations \(loom-hub migrate\)/);
    expect(agent.output.join("\n")).not.toMatch(STACK);
  });

  test("goes on while the database is away, and says so without a stack", async () => {
    const { url } = await openDoor((response) => response.socket?.destroy());
    const agent = startAgent({ SUPABASE_URL: url, LOOM_NODE_KEY: "key", LOOM_NODE_NAME: "forge" });
    expect(await agent.said("the database did not answer")).toMatchObject({
      err: { code: "QUEUE_UNAVAILABLE" },
    });
    agent.child.kill("SIGTERM");
    expect(await agent.exited).toBe(0);
    expect(agent.output.join("\n")).not.toContain('"stack"');
  });

  test("tells every problem of its environment, with exit code 2", async () => {
    const agent = startAgent({ LOOM_NODE_NAME: "My Node" });
    expect(await agent.exited).toBe(2);
    const output = agent.output.join("\n");
    for (const name of ["SUPABASE_URL", "LOOM_NODE_KEY", "LOOM_NODE_NAME"]) {
      expect(output).toContain(`  ${name}: `);
    }
    expect(output).not.toMatch(STACK);
  });

  test("refuses a workflow folder that is not there, with exit code 2", async () => {
    const agent = startAgent({
      SUPABASE_URL: "http://127.0.0.1:1",
      LOOM_NODE_KEY: "key",
      LOOM_NODE_NAME: "forge",
      LOOM_WORKFLOWS_DIR: "/nowhere",
    });
    expect(await agent.exited).toBe(2);
    expect(agent.output.at(-1)).toContain("LOOM_WORKFLOWS_DIR");
  });

  test.for([
    { args: ["--help"], code: 0, says: "usage: loom-agent" },
    { args: ["begin"], code: 2, says: 'there is no command "begin"' },
    { args: ["status", "--wait"], code: 2, says: "status takes no --wait" },
    { args: ["pause", "--for", "soon"], code: 2, says: "is not a duration" },
  ])("answers to $args with exit code $code", async ({ args, code, says }) => {
    const agent = startAgent({}, args);
    expect(await agent.exited).toBe(code);
    expect(agent.output.join("\n")).toContain(says);
  });
});
