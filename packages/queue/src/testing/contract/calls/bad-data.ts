import { randomUUID } from "node:crypto";
import { limits } from "@loom/workflow";
import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueFixtures, QueueTest } from "../../queue-test.ts";
import { success } from "../../settlements.ts";

const deep = (levels: number) => "[".repeat(levels) + "]".repeat(levels);

/** Texts that no reader could take, as a node may send them. */
const unreadableTexts = [
  { title: "no JSON", text: "{not json" },
  { title: "two values", text: "1 2" },
  { title: "nothing", text: "" },
  { title: "a level too deep", text: deep(101) },
  { title: "100 000 levels deep", text: deep(100_000) },
];

/** Settles without this package's client, as a node of another make would. */
async function settleRaw({ database }: QueueFixtures, ...items: object[]) {
  const [row] = await database.sql.unsafe<{ answer: { answer: string }[] }[]>(
    "select public.loom_exchange('forge', p_items => $1::text::json) -> 'settled' -> 'items' as answer",
    [JSON.stringify(items)],
  );
  return row?.answer.map(({ answer }) => answer);
}

/** A run of two steps and a job of its own: the run's second step and the job are offered to forge. */
async function withBadResult({ queue, database }: QueueFixtures) {
  const { job, session, runId } = await joining(queue);
  await queue.settle("forge", [success(job)]);
  const added = only(await queue.enqueue([makeJob({ input: { good: true } })]));
  // Written past Loom's functions, as somebody with the database's password can.
  await database.sql`update public.loom_jobs set result = '{not json' where id = ${job.id}`;
  await offerAll(queue, "forge");
  return { job, session, runId, added };
}

async function joining(queue: QueueFixtures["queue"]) {
  const plan = makePlan([{ step: "first" }, { step: "second", after: ["first"] }]);
  const { runId } = await queue.startRun(plan);
  const session = await sayHello(queue, "forge");
  await offerAll(queue, "forge");
  return { runId, session, job: only(await claim(queue, session)) };
}

export function badDataContract(test: QueueTest): void {
  describe("what cannot be read", () => {
    test.for(unreadableTexts)(
      "is refused as a result and as an error where it is written: $title",
      async ({ text }, { queue, database }) => {
        const { job, session, read } = await runningJob(queue);
        await queue.enqueue([makeJob({ host: "forge" })]);
        const other = only(await claim(queue, session, { seq: 2 }));
        const about = { id: job.id, fence: job.fence };
        expect(
          await settleRaw(
            { queue, database },
            { ...about, outcome: "succeeded", result: text },
            { id: other.id, fence: other.fence, outcome: "succeeded", result: deep(100) },
          ),
        ).toEqual(["invalid", "accepted"]);
        expect(
          await settleRaw({ queue, database }, { ...about, outcome: "failed", error: text }),
        ).toEqual([text.length > limits.errorBytes ? "too_large" : "invalid"]);
        expect(await read()).toMatchObject({ state: "running" });
        expect(await queue.settle("forge", [success(job)])).toMatchObject([{ answer: "accepted" }]);
      },
    );

    test.for(unreadableTexts)(
      "is refused as an input where it is written: $title",
      async ({ text }, { queue, database }) => {
        const refusal = (call: Promise<unknown>) =>
          call.then(
            () => "accepted",
            ({ code }: { code: string }) => code,
          );
        const start = database.sql`
          select public.loom_start_run('w', 'v1', ${text}, ${JSON.stringify([step])}::text::json)`;
        expect(await refusal(start)).toBe("PT400");
        const specs = JSON.stringify([{ ...step, workflow: "w" }]);
        const enqueue = database.sql`select public.loom_enqueue_jobs(${specs}::text::json, array[${text}])`;
        expect(await refusal(enqueue)).toBe("PT400");
        expect((await queue.listJobs()).jobs).toEqual([]);
      },
    );

    test("is named by a claim, and the claim's other jobs can be read", async ({
      queue,
      database,
    }) => {
      const { session, added } = await withBadResult({ queue, database });
      const answer = await queue.claim(session, { seq: 2, limit: 10 });
      expect(answer).toMatchObject({
        jobs: [{ id: added.id, input: { good: true } }],
        unreadable: [
          {
            job: { step: "second", fence: 1, input: null, results: {} },
            problem: "the result of first cannot be read: it is not JSON",
          },
        ],
      });
    });

    test("is shown as unreadable by its job and its run, with their other fields", async ({
      queue,
      database,
    }) => {
      const { job, runId } = await withBadResult({ queue, database });
      const placeholder = { code: "UNREADABLE", begins: "{not json" };
      expect(await queue.getJob(job.id)).toMatchObject({ step: "first", result: placeholder });
      expect((await queue.getRun(runId)).jobs).toMatchObject([
        { step: "first", result: placeholder },
        { step: "second", state: "pending" },
      ]);
      expect((await queue.listJobs()).jobs).toHaveLength(3);
      expect(queue.unreadableRows()).toContainEqual({
        operation: "loom_get_job",
        row: 'the text "{not json"',
        problem: "it is not JSON",
      });
    });

    test("hides no other node when it is in a node's row, and no job when it is in a reason", async ({
      queue,
      database,
    }) => {
      await sayHello(queue, "forge");
      await sayHello(queue, "oracle");
      await database.sql`update public.openclaw_instances set facts = '5' where name = 'forge'`;
      expect(await queue.listNodes()).toMatchObject([{ name: "oracle" }]);
      expect(queue.unreadableRows()).toMatchObject([
        { operation: "loom_list_nodes", row: "forge" },
      ]);

      const { id } = only(await queue.enqueue([makeJob()]));
      await database.sql`update public.loom_jobs set waiting_reason = '7' where id = ${id}`;
      const reason = { waitingReason: { code: "unreadable" } };
      expect(await queue.listWaiting()).toMatchObject([{ id, ...reason }]);
      expect((await queue.listJobs()).jobs).toMatchObject([{ id, ...reason }]);
      expect(await queue.getJob(id)).toMatchObject(reason);
    });

    test("does not end a stream of events, which skips the event", async ({ queue, database }) => {
      const { cursor } = await queue.readEvents({ after: "now" });
      await database.sql`insert into public.loom_event_batches (type) values ('nobody.knows')`;
      const { runId } = await queue.startRun(makePlan([{ step: "only" }]));
      await expect
        .poll(async () => (await queue.readEvents({ after: cursor })).events)
        .toMatchObject([{ type: "run.started", runId }, { type: "job.created" }]);
      await database.sql`delete from public.loom_event_batches where type = 'nobody.knows'`;
    });
  });

  describe("hello and reportNode", () => {
    const good = {
      p_capabilities: ["docker"],
      p_slots: 1,
      p_tailnet_address: "100.64.0.7",
      p_wake_port: 7_421,
      p_facts: { os: "linux" } as unknown,
    };
    const facts = (bytes: number) => ({ of: "x".repeat(bytes - '{"of": ""}'.length) });

    test.for([
      { title: "facts that are no object", bad: { p_facts: 5 } },
      { title: "facts that are a list", bad: { p_facts: [] } },
      { title: "no facts", bad: { p_facts: null } },
      { title: "facts above 64 KiB", bad: { p_facts: facts(65_537) } },
      { title: "facts that are too deep", bad: { p_facts: { deep: JSON.parse(deep(100)) } } },
      { title: "a capability of 201 characters", bad: { p_capabilities: ["x".repeat(201)] } },
      { title: "an empty capability", bad: { p_capabilities: ["docker", ""] } },
      { title: "a capability that is none", bad: { p_capabilities: ["docker", null] } },
      { title: "a capability of two lines", bad: { p_capabilities: ["a\r\nb"] } },
      {
        title: "1001 capabilities",
        bad: { p_capabilities: Array.from({ length: 1_001 }, (_, index) => `c${index}`) },
      },
      { title: "no slots", bad: { p_slots: null } },
      { title: "a port that is none", bad: { p_wake_port: 70_000 } },
      { title: "an address of two lines", bad: { p_tailnet_address: "100.64.0.7\nx" } },
    ])("refuse $title, and leave the node as it was", async ({ bad }, { queue, database }) => {
      const { epoch } = await sayHello(queue, "forge", { capabilities: ["before"] });
      const call = async (name: string, args: object) => {
        const names = Object.keys(args);
        const [signature] = await database.sql<{ list: string; types: string }[]>`
          select string_agg(format('%1$I => given.%1$I', argument), ', ') as list,
                 string_agg(format('%I %s', argument, format_type(type, null)), ', ') as types
            from pg_proc cross join unnest(proargnames, proargtypes::oid[]) as signature(argument, type)
           where proname = ${name} and argument = any(${names})`;
        await database.sql.unsafe(
          `select public.${name}(${signature?.list}) from json_to_record($1::text::json) as given(${signature?.types})`,
          [JSON.stringify(args)],
        );
      };
      const refused = { code: "PT400", detail: "INVALID_ARGUMENT" };
      await expect(
        call("loom_report_node", { p_node: "forge", p_epoch: epoch, ...good, ...bad }),
      ).rejects.toMatchObject(refused);
      const opening = { p_node: "forge", p_incarnation: randomUUID(), p_lease_ms: 45_000 };
      await expect(call("loom_hello", { ...opening, ...good, ...bad })).rejects.toMatchObject(
        refused,
      );
      expect(await queue.listNodes()).toMatchObject([{ epoch, capabilities: ["before"] }]);
      await call("loom_report_node", { p_node: "forge", p_epoch: epoch, ...good });
    });

    test("take what is just within the limits", async ({ queue }) => {
      const capabilities = Array.from(
        { length: 1_000 },
        (_, index) => `${"😀".repeat(196)}${1_000 + index}`,
      );
      await sayHello(queue, "forge", { capabilities });
      expect(only(await queue.listNodes()).capabilities).toHaveLength(1_000);
      const { epoch } = only(await queue.listNodes());
      const offer = { capabilities: [], slots: 1, facts: facts(65_536) };
      expect(await queue.reportNode({ node: "forge", epoch: epoch ?? 0 }, offer)).toMatchObject({
        session: "live",
      });
    });
  });
}

const step = {
  step: "a",
  after: [],
  requires: [],
  prefers: [],
  priority: 100,
  timeout_ms: 1_000,
  max_attempts: 2,
  max_crash_restarts: 3,
  backoff_kind: "fixed",
  backoff_ms: 0,
  backoff_max_ms: 0,
};
