import { describe, expect } from "vitest";
import { claim, offerAll, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import { makePlan } from "../../plan.ts";
import type { QueueTest } from "../../queue-test.ts";

const digest = "a".repeat(64);
const signed = { name: "deploy.ts", manifest: '{"externals":[]}', signature: "c2lnbmF0dXJl" };
const bundle = { workflows: ["made-for-test"], key: "hub-1", signed };
const requires = [`workflow:made-for-test@${digest}`];

export function codeContract(test: QueueTest): void {
  describe("storeCode", () => {
    test("asks for the source once, and keeps what each hub signed", async ({ queue }) => {
      expect(await queue.storeCode(digest, bundle)).toBe(false);
      expect(await queue.storeCode(digest, { ...bundle, source: "first" })).toBe(true);
      expect(await queue.storeCode(digest, bundle)).toBe(true);
      const other = { ...signed, signature: "b3RoZXI" };
      expect(await queue.storeCode(digest, { ...bundle, key: "hub-2", signed: other })).toBe(true);
      await queue.storeCode(digest, { ...bundle, source: "second" });
      await sayHello(queue, "forge");
      await queue.enqueue([makeJob({ requires, host: "forge" })]);
      expect(await queue.readCode("forge", digest)).toEqual({
        source: "first",
        signed: { "hub-1": signed, "hub-2": other },
      });
    });

    test("stores one bundle of many hubs that store it at once", async ({ queue }) => {
      const answers = await Promise.all(
        Array.from({ length: 6 }, (_, index) =>
          queue.storeCode(digest, { ...bundle, key: `hub-${index}`, source: "s" }),
        ),
      );
      expect(answers).toEqual(Array(6).fill(true));
      await sayHello(queue, "forge");
      await queue.enqueue([makeJob({ requires, host: "forge" })]);
      const read = await queue.readCode("forge", digest);
      expect(Object.keys(read?.signed ?? {}).sort()).toEqual(
        Array.from({ length: 6 }, (_, index) => `hub-${index}`),
      );
    });

    test.for([
      ["a digest that is none", "x", bundle],
      ["no workflow", digest, { ...bundle, workflows: [] }],
      ["a source that is too large", digest, { ...bundle, source: "x".repeat(12_582_913) }],
    ] as const)("refuses %s", async ([, name, given], { queue }) => {
      await expect(queue.storeCode(name, given)).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    });
  });

  describe("readCode", () => {
    test("gives a node only the code of jobs that it holds or is offered", async ({ queue }) => {
      await queue.storeCode(digest, { ...bundle, source: "s" });
      const session = await sayHello(queue, "forge", { slots: 10 });
      await sayHello(queue, "tower", { slots: 10 });
      const readable = async () =>
        (await Promise.all(["forge", "tower"].map((node) => queue.readCode(node, digest)))).map(
          (read) => read !== null,
        );
      await queue.enqueue([makeJob({ requires }), makeJob()]);
      expect(await readable()).toEqual([false, false]);
      await offerAll(queue, "forge");
      expect(await readable()).toEqual([true, false]);
      const jobs = await claim(queue, session);
      expect(await readable()).toEqual([true, false]);
      expect(await queue.readCode("forge", "b".repeat(64))).toBeNull();
      await queue.settle(
        "forge",
        jobs.map(({ id, fence }) => ({ id, fence, outcome: "succeeded", result: null })),
      );
      expect(await readable()).toEqual([false, false]);
    });
  });

  describe("prune", () => {
    test("removes code that no run or job needs and that was not used for long", async ({
      queue,
      database,
    }) => {
      const [unused, ofJob, ofRun, recent] = ["1", "2", "3", "4"].map((each) => each.repeat(64));
      for (const each of [unused, ofJob, ofRun, recent]) {
        if (each) await queue.storeCode(each, { ...bundle, source: "s" });
      }
      await queue.enqueue([makeJob({ requires: [`workflow:made-for-test@${ofJob}`] })]);
      await queue.startRun({ ...makePlan([{ step: "only" }]), version: ofRun ?? "" });
      await database.sql`update public.loom_code set used_at = now() - interval '40 days'
        where digest <> ${recent ?? ""}`;
      await queue.prune();
      const left = await database.sql<{ digest: string }[]>`
        select digest from public.loom_code order by digest`;
      expect(left.map((row) => row.digest)).toEqual([ofJob, ofRun, recent]);
    });
  });
}
