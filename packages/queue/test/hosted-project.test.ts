import { createQueue, type Queue, queueOver } from "@loom/queue";
import { hostedTest, makeJob, only, sayHello } from "@loom/queue/testing";
import { createClient } from "@supabase/supabase-js";
import { describe, expect } from "vitest";
import { claim } from "../src/testing/agent.ts";
import { hostedTransport } from "../src/testing/hosted/hosted-test.ts";
import { grantNodeKey } from "../src/testing/hosted/node-key.ts";
import { success } from "../src/testing/settlements.ts";
import { sqlFunctions } from "./sql-functions.ts";

const test = hostedTest.extend(
  "agent",
  async ({ project, database }): Promise<Queue> =>
    queueOver(hostedTransport(project, await grantNodeKey(database, "forge"))),
);

describe("a hosted project", () => {
  test("accepts only its own keys, and none that somebody signed for a node", async ({
    project,
    database,
  }) => {
    const signed = await database.signKey({ role: "service_role", node: "forge" });
    const queue = createQueue({ client: createClient(project.url, signed) });
    await expect(sayHello(queue, "forge")).rejects.toMatchObject({ code: "QUEUE_ACCESS" });
  });

  test("takes no secret key of a browser, and Loom does not look like one", async ({ project }) => {
    const client = createClient(project.url, project.secretKey, {
      global: { headers: { "user-agent": "Mozilla/5.0 (X11)" } },
    });
    await expect(createQueue({ client }).listNodes()).rejects.toThrow();
    expect(await queueOver(hostedTransport(project)).listNodes()).toEqual([]);
  });

  test("ends a call of anon's after 3 s, and gives an agent's as long as a hub's", async ({
    project,
    database,
  }) => {
    await database.sql.unsafe(`
      create function public.slow() returns void language sql as 'select pg_sleep(3.2)';
      create function public.slow_but_allowed() returns void language sql set statement_timeout = '8s'
        as 'select pg_sleep(3.2)';
      grant execute on function public.slow, public.slow_but_allowed to anon;
      notify pgrst, 'reload schema'`);
    try {
      const call = async (name: string) => {
        const answer = await fetch(`${project.url}/rest/v1/rpc/${name}`, {
          method: "POST",
          headers: { apikey: project.publishableKey },
        });
        return { status: answer.status, body: await answer.text() };
      };
      await expect.poll(async () => (await call("slow")).body).toMatch(/57014/);
      expect((await call("slow_but_allowed")).status).toBeLessThan(300);
    } finally {
      await database.sql.unsafe("drop function public.slow, public.slow_but_allowed");
      await database.sql`notify pgrst, 'reload schema'`;
    }
  });

  // Postgres' module safeupdate refuses them there, inside of functions too.
  test("receives no update or delete without a condition", () => {
    const writes = sqlFunctions.flatMap(({ name, code }) =>
      [...code.matchAll(/\b(?:update|delete from) public\.\w+/gi)].map(({ 0: found, index }) => ({
        what: `${name}: ${found}`,
        statement: statementAt(code, index),
      })),
    );
    expect(writes.length).toBeGreaterThan(50);
    const unconditional = writes.filter(({ statement }) => !/\bwhere\b/i.test(statement));
    expect(unconditional.map(({ what }) => what)).toEqual([]);
  });
});

/** The statement that begins here, without what is in parentheses inside of it. */
function statementAt(code: string, start: number): string {
  let depth = 0;
  let outside = "";
  for (const character of code.slice(start)) {
    if (character === ")") depth -= 1;
    if (depth < 0 || (depth === 0 && character === ";")) break;
    if (depth === 0) outside += character;
    if (character === "(") depth += 1;
  }
  return outside;
}

describe("an agent behind a hosted project", () => {
  test("does its work once when every request is sent on twice", async ({
    project,
    queue,
    agent,
  }) => {
    const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
    project.disturb("repeat");
    const session = await sayHello(agent, "forge");
    expect(session.epoch).toBe(1);
    project.disturb("repeat");
    const job = only(await claim(agent, session));
    project.disturb("repeat");
    expect(await agent.heartbeat(session)).toMatchObject({ held: [{ id }] });
    project.disturb("repeat");
    const chunks = [{ start: 0, chunk: "once\n" }];
    expect(await agent.appendLog({ node: "forge", id, fence: job.fence }, chunks)).toBe("accepted");
    project.disturb("repeat");
    const held = { node: "forge", id, fence: job.fence };
    expect(await agent.saveCheckpoint(held, { seq: 1, json: "1" })).toBe("accepted");
    project.disturb("repeat");
    expect(await agent.settle("forge", [success(job)])).toMatchObject([{ answer: "duplicate" }]);
    expect(await queue.getJob(id)).toMatchObject({ state: "succeeded", attempt: 1 });
    expect(await queue.readLog(id)).toMatchObject({ chunks });
  });

  test("finds its work again after an answer was lost", async ({ project, queue, agent }) => {
    const { id } = only(await queue.enqueue([makeJob({ host: "forge" })]));
    const session = await sayHello(agent, "forge");
    project.disturb("lose");
    await expect(claim(agent, session)).rejects.toMatchObject({ reason: "network" });
    const job = only(await claim(agent, session));
    expect(job).toMatchObject({ id, fence: 1 });
    project.disturb("lose");
    await expect(agent.settle("forge", [success(job)])).rejects.toMatchObject({
      code: "QUEUE_UNAVAILABLE",
    });
    expect(await agent.settle("forge", [success(job)])).toMatchObject([{ answer: "duplicate" }]);
  });

  test.for([
    { title: "Cloudflare's page", status: 522, body: "<title>522: Connection timed out</title>" },
    { title: "Cloudflare's block", status: 403, body: "<title>Attention Required!</title>" },
    { title: "Envoy", status: 503, type: "text/plain", body: "no healthy upstream" },
    { title: "a bad gateway", status: 502, body: "<h1>502 Bad Gateway</h1>" },
  ])("takes $title for a database that is away", async (page, { project, agent }) => {
    project.disturb(page);
    await expect(sayHello(agent, "forge")).rejects.toMatchObject({ code: "QUEUE_UNAVAILABLE" });
    expect(await sayHello(agent, "forge")).toMatchObject({ epoch: 1 });
  });
});
