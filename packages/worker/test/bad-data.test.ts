import type { Database } from "@loom/local-db";
import { defineWorkflow } from "@loom/workflow";
import { describe, expect, onTestFinished } from "vitest";
import { begin, jobOf, oneStep, over, test } from "./fixtures.ts";

/** Has the database keep this text for the result of every step `first`, past Loom's functions. */
async function spoil({ sql }: Database, text: string): Promise<void> {
  await sql.unsafe(
    `create function public.spoil() returns trigger language plpgsql as
       $$ begin new.result := $text$${text}$text$; return new; end $$;
     create trigger spoil before update on public.loom_jobs for each row
       when (new.step_id = 'first' and new.state = 'succeeded') execute function public.spoil()`,
  );
  onTestFinished(async () => {
    await sql.unsafe("drop function public.spoil cascade");
  });
}

describe("a stored result that cannot be read", () => {
  test.for([
    { title: "no JSON", text: "{not json" },
    { title: "100 000 levels deep", text: "[".repeat(100_000) + "]".repeat(100_000) },
  ])(
    "fails the step that reads it, and no other job of its claim: $title",
    async ({ text }, { queue, database, startWorker }) => {
      const joined = defineWorkflow({ name: "joined" })
        .step("first", { host: "forge" }, async () => "good")
        .step("second", { host: "forge", after: ["first"] }, async () => "never");
      const other = oneStep(async () => "good");
      await spoil(database, text);
      const { worker } = startWorker({ workflows: [joined, other], concurrency: 10 });
      const bad = await begin(queue, joined);
      const runs = await Promise.all(Array.from({ length: 5 }, () => begin(queue, other)));
      expect((await over(queue, bad)).jobs).toMatchObject([
        { step: "first", state: "succeeded", result: { code: "UNREADABLE" } },
        { step: "second", state: "failed", attempt: 1, error: { code: "JOB_UNREADABLE" } },
      ]);
      for (const runId of [...runs, await begin(queue, other)]) {
        await over(queue, runId);
        expect(await jobOf(queue, runId)).toMatchObject({ state: "succeeded", result: "good" });
      }
      expect(worker.status()).toMatchObject({ session: { state: "open", epoch: 1 } });
    },
  );
});
