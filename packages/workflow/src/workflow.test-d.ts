import { expectTypeOf } from "vitest";
import { z } from "zod";
import {
  type AnyWorkflow,
  defineWorkflow,
  type ItemResult,
  type JsonValue,
  type Step,
  type StepContext,
  type WorkflowInput,
} from "./index.ts";

const deploy = defineWorkflow({
  name: "deploy",
  input: z.object({ ref: z.string().default("main"), replicas: z.coerce.number().optional() }),
});

// Steps get the output of the schema, and callers pass its input.
deploy.step("build", {}, async ({ input }) => {
  expectTypeOf(input).toEqualTypeOf<{ ref: string; replicas?: number | undefined }>();
});
expectTypeOf<WorkflowInput<typeof deploy>>().toEqualTypeOf<{
  ref?: string | undefined;
  replicas?: unknown;
}>();
expectTypeOf(deploy.name).toEqualTypeOf<"deploy">();

// Options that are functions get the same input.
deploy.step(
  "pin",
  {
    host: ({ input }) => {
      expectTypeOf(input.ref).toEqualTypeOf<string>();
      return undefined;
    },
    prefers: ({ input }) => [{ clause: `branch=${input.ref}`, weight: 1 }],
  },
  async () => {},
);

const built = deploy
  .step("build", {}, async () => ({ digest: "sha256:1", size: 3 }))
  .step("warm-up", {}, async () => {})
  .step("maybe", {}, async ({ attempt }) => (attempt > 1 ? { tries: attempt } : undefined));

// Results are those of the steps in `after`, and no others.
built.step("restart", { after: ["build", "warm-up", "maybe"] }, async ({ results }) => {
  expectTypeOf(results.build).toEqualTypeOf<{ digest: string; size: number }>();
  expectTypeOf(results["warm-up"]).toEqualTypeOf<null>();
  expectTypeOf(results.maybe).toEqualTypeOf<{ tries: number } | null>();
  expectTypeOf<keyof typeof results>().toEqualTypeOf<"build" | "warm-up" | "maybe">();
});
built.step("restart", { after: ["build"] }, async ({ results }) => {
  expectTypeOf<keyof typeof results>().toEqualTypeOf<"build">();
  // @ts-expect-error: this step is not in `after`
  results["warm-up"];
});
built.step("restart", {}, async ({ results }) => {
  expectTypeOf<keyof typeof results>().toEqualTypeOf<never>();
});

// The result of a step that may have none is undefined exactly where it can be.
const risky = built
  .step("lint", { optional: true }, async () => ({ warnings: 1 }))
  .step("undo", { after: ["build"], runsAfter: "failure" }, async ({ results }) => {
    expectTypeOf(results.build).toEqualTypeOf<{ digest: string; size: number } | undefined>();
    return { undone: 1 };
  })
  .step("repair", { after: ["build"], runsAfter: "failure", skip: "cascade" }, async () => ({
    repaired: 1,
  }))
  .step("clean", { after: ["build", "lint"], runsAfter: "always" }, async ({ results }) => {
    expectTypeOf(results.build).toEqualTypeOf<{ digest: string; size: number } | undefined>();
    return { cleaned: 1 };
  });
risky.step("end", { after: ["build", "lint", "undo", "repair", "clean"] }, async ({ results }) => {
  expectTypeOf(results.build).toEqualTypeOf<{ digest: string; size: number }>();
  expectTypeOf(results.lint).toEqualTypeOf<{ warnings: number } | undefined>();
  expectTypeOf(results.undo).toEqualTypeOf<{ undone: number } | undefined>();
  expectTypeOf(results.repair).toEqualTypeOf<{ repaired: number }>();
  expectTypeOf(results.clean).toEqualTypeOf<{ cleaned: number }>();
});
const guarded = risky
  .step(
    "pack",
    {
      after: ["build", "lint"],
      when: ({ input, results }) => {
        expectTypeOf(input.ref).toEqualTypeOf<string>();
        expectTypeOf(results.build.size).toEqualTypeOf<number>();
        expectTypeOf(results.lint).toEqualTypeOf<{ warnings: number } | undefined>();
        // @ts-expect-error: this step is not in `after`
        results.undo;
        return results.build.size > 0;
      },
    },
    async ({ results }) => ({ packed: results.build.size }),
  )
  .step("send", { when: () => true, skip: "cascade" }, async () => ({ sent: 1 }));
guarded.step("end", { after: ["pack", "send"] }, async ({ results }) => {
  expectTypeOf(results.pack).toEqualTypeOf<{ packed: number } | undefined>();
  expectTypeOf(results.send).toEqualTypeOf<{ sent: number }>();
});
// @ts-expect-error: a condition is true or false
built.step("perhaps", { when: () => "yes" }, async () => {});
// @ts-expect-error: no such rule
built.step("never", { after: ["build"], runsAfter: "never" }, async () => {});

// A step waits only for steps that exist, and not for itself.
// @ts-expect-error: no such step
built.step("restart", { after: ["bild"] }, async () => {});
// @ts-expect-error: a step cannot wait for itself
built.step("restart", { after: ["restart"] }, async () => {});
// @ts-expect-error: the workflow without steps stayed as it was
deploy.step("restart", { after: ["build"] }, async () => {});

// A name is used once.
// @ts-expect-error: the name is taken
built.step("build", {}, async () => {});

// A computed name gives up these checks at compile time, but not the steps after it.
const name: string = "computed";
deploy.step(name, {}, async () => 1).step("ship", { after: ["anything"] }, async () => {});

// Results are JSON.
deploy.step("list", {}, async () => [{ at: null, tags: ["a"] as const, note: undefined }]);
// @ts-expect-error: a Date is not JSON
deploy.step("when", {}, async () => new Date());
// @ts-expect-error: a function inside is not JSON
deploy.step("what", {}, async () => ({ run: () => 1 }));

// Options are typed.
// @ts-expect-error: not a duration
deploy.step("slow", { timeout: "ten minutes" }, async () => {});
// @ts-expect-error: a fixed delay has no maximum
// biome-ignore format: the error has to be on the next line
deploy.step("again", { retry: { attempts: 2, backoff: { kind: "fixed", delay: "1s", max: "5m" } } }, async () => {});
// @ts-expect-error: what a schema makes of the input is stored, so it is JSON
defineWorkflow({ name: "dated", input: z.date() });

// Without a schema there is no input.
defineWorkflow({ name: "plain" }).step("only", {}, async ({ input }) => {
  expectTypeOf(input).toEqualTypeOf<Record<string, never>>();
});

// Hubs and agents see plain values.
expectTypeOf(built).toExtend<AnyWorkflow>();
expectTypeOf<AnyWorkflow["steps"]>().toEqualTypeOf<readonly Step[]>();
expectTypeOf<WorkflowInput<AnyWorkflow>>().toBeUnknown();
expectTypeOf<StepContext["input"]>().toEqualTypeOf<JsonValue>();
expectTypeOf<StepContext["results"]>().toEqualTypeOf<Readonly<Record<string, JsonValue>>>();

// A map runs once for each item of a list, and its result is the list of their results.
const listed = defineWorkflow({ name: "transcode", input: z.object({ crf: z.number() }) })
  .step("list", {}, async () => ({
    files: [{ path: "a.mkv", bytes: 1, tags: ["x"] }],
    count: 1,
  }))
  .step("names", {}, async () => ["a", "b"])
  .step("config", {}, async () => ({ crf: 23 }));
const encoded = listed
  .map(
    "encode",
    { over: "list.files", after: ["config"], key: "path" },
    async ({ item, index, key, results, input }) => {
      expectTypeOf(item).toEqualTypeOf<{ path: string; bytes: number; tags: string[] }>();
      expectTypeOf(index).toEqualTypeOf<number>();
      expectTypeOf(key).toEqualTypeOf<string>();
      expectTypeOf(results).toEqualTypeOf<{ readonly config: { crf: number } }>();
      expectTypeOf(input.crf).toEqualTypeOf<number>();
      return { out: item.path, frames: 10 };
    },
  )
  .map("probe", { over: "names", tolerate: "10%" }, async ({ item }) => item.length);
encoded.step("end", { after: ["encode", "probe"] }, async ({ results }) => {
  expectTypeOf(results.encode).toEqualTypeOf<readonly { out: string; frames: number }[]>();
  expectTypeOf(results.probe).toEqualTypeOf<readonly ItemResult<number>[]>();
  for (const entry of results.probe) {
    if (entry.ok) expectTypeOf(entry.value).toEqualTypeOf<number>();
    else expectTypeOf(entry.error.message).toEqualTypeOf<string | null>();
  }
});
// A map over the results of a map is one after the other, not nested.
encoded.map("upload", { over: "encode", key: "out" }, async ({ item }) => {
  expectTypeOf(item).toEqualTypeOf<{ out: string; frames: number }>();
});
// @ts-expect-error: no such step
listed.map("each", { over: "lists" }, async () => {});
// @ts-expect-error: this property is no list
listed.map("each", { over: "list.count" }, async () => {});
// @ts-expect-error: the step's result is no list
listed.map("each", { over: "config" }, async () => {});
// @ts-expect-error: encode is a list itself: maps cannot be nested
encoded.map("each", { over: "encode.out" }, async () => {});
// @ts-expect-error: the items have no such property
listed.map("each", { over: "list.files", key: "name" }, async () => {});
// @ts-expect-error: a list of tags names no item
listed.map("each", { over: "list.files", key: "tags" }, async () => {});
// @ts-expect-error: it follows from the items
listed.map("each", { over: "names", optional: true }, async () => {});
// @ts-expect-error: the name is taken
listed.map("list", { over: "names" }, async () => {});

// A workflow says who is notified of what.
defineWorkflow({ name: "loud", notify: { "run.failed": "ops", "approval.asked": ["ops", "me"] } });
// @ts-expect-error: there is no such rule
defineWorkflow({ name: "loud", notify: { failed: "ops" } });
// @ts-expect-error: the loss of a node concerns no workflow
defineWorkflow({ name: "loud", notify: { "node.lost": "ops" } });

// What a step keeps has the type of its schema; without one it is any JSON.
const page = z.object({ page: z.number() });
defineWorkflow({ name: "kept" })
  .step("list", { checkpoint: page }, async ({ checkpoint, checkpointed }) => {
    expectTypeOf(checkpointed).toEqualTypeOf<{ page: number } | undefined>();
    expectTypeOf(checkpoint).parameters.toEqualTypeOf<[{ page: number }]>();
    // @ts-expect-error: it does not fit the schema
    await checkpoint({ sheet: 1 });
    return ["a"];
  })
  .map("each", { over: "list", checkpoint: page }, async ({ checkpointed, item }) => {
    expectTypeOf(checkpointed).toEqualTypeOf<{ page: number } | undefined>();
    return item;
  })
  .step("end", { after: ["each"] }, async ({ checkpoint, checkpointed }) => {
    expectTypeOf(checkpointed).toEqualTypeOf<JsonValue | undefined>();
    await checkpoint({ any: ["thing"] });
    // @ts-expect-error: it is not JSON
    await checkpoint(() => {});
  });
