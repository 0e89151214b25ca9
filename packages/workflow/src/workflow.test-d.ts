import { expectTypeOf } from "vitest";
import { z } from "zod";
import {
  type AnyWorkflow,
  defineWorkflow,
  type JsonValue,
  type Step,
  type StepContext,
  type WorkflowInput,
} from "./index.ts";

const deploy = defineWorkflow({
  name: "deploy",
  input: z.object({ ref: z.string().default("main"), replicas: z.coerce.number().optional() }),
});

// Steps get the output of the schema, callers give its input.
deploy.step("build", {}, async ({ input }) => {
  expectTypeOf(input).toEqualTypeOf<{ ref: string; replicas?: number | undefined }>();
});
expectTypeOf<WorkflowInput<typeof deploy>>().toEqualTypeOf<{
  ref?: string | undefined;
  replicas?: unknown;
}>();
expectTypeOf(deploy.name).toEqualTypeOf<"deploy">();

// Options that are functions see the same input.
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
  // @ts-expect-error: nobody waits for this step
  results["warm-up"];
});
built.step("restart", {}, async ({ results }) => {
  expectTypeOf<keyof typeof results>().toEqualTypeOf<never>();
});

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

// A computed name gives up these checks (they are made at run time), not the steps after it.
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
