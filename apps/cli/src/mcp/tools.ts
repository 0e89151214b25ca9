import type { HubClient } from "@loom/client";
import { z } from "zod";
import { findReasons } from "../commands/why.ts";
import { CliError } from "../errors.ts";
import { findRun, findSubject } from "../hub/find-run.ts";
import { readDuration } from "../input/duration.ts";

/** What a client may do besides reading, by the scope that the hub asks for. */
export type Allowed = "run" | "operate";

/** One operation of the hub as a client of the protocol sees it. */
export interface Tool {
  title: string;
  description: string;
  /** What the caller has to be allowed. */
  needs: "read" | Allowed;
  /** Whether it ends work that somebody may want. */
  isDestructive?: boolean;
  input: z.ZodRawShape;
  call(hub: HubClient, given: Record<string, unknown>): Promise<unknown>;
}

/** A tool whose arguments have the types of its schema: the server has checked them. */
const tool = <Shape extends z.ZodRawShape>(
  definition: Omit<Tool, "input" | "call"> & {
    input: Shape;
    call: (hub: HubClient, given: z.output<z.ZodObject<Shape>>) => Promise<unknown>;
  },
): Tool => definition as unknown as Tool;

const workflow = z.string().describe("The name of a workflow");
const run = z.string().describe("The id of a run, or its first characters");
const node = z.string().describe("The name of a machine");
const note = z.string().max(500).optional().describe("Why, for people");

/** Lines of output that one call returns, unless it asks for another number. */
const TAIL = 200;

export const tools = {
  list_workflows: tool({
    title: "List workflows",
    description: "The workflows that the hub knows, and workflow files that cannot be used.",
    needs: "read",
    input: {},
    call: (hub) => hub.listStrands(),
  }),
  show_workflow: tool({
    title: "Show a workflow",
    description: "A workflow's steps, the JSON Schema of its input, and whether it can run now.",
    needs: "read",
    input: { workflow },
    call: (hub, given) => hub.getStrand(given.workflow),
  }),
  list_runs: tool({
    title: "List runs",
    description: "Runs, newest first.",
    needs: "read",
    input: {
      workflow: workflow.optional(),
      status: z.enum(["running", "succeeded", "failed", "cancelled"]).optional(),
      limit: z.int().min(1).max(200).default(20),
    },
    async call(hub, { workflow: of, status, limit }) {
      return (await hub.listRuns({ limit, ...(of && { workflow: of }), ...(status && { status }) }))
        .data;
    },
  }),
  show_run: tool({
    title: "Show a run",
    description: "A run with the state, result and error of each step.",
    needs: "read",
    input: { run },
    call: async (hub, given) => hub.getRun(await findRun(hub, given.run)),
  }),
  read_logs: tool({
    title: "Read output",
    description: "The last lines of the output of a run's steps, or of a job by its number.",
    needs: "read",
    input: {
      subject: z.string().describe("A run, or the number of a job"),
      step: z.string().optional().describe("One step of the run"),
      tail: z.int().min(1).max(10_000).default(TAIL).describe("Lines of each step"),
    },
    async call(hub, { subject, step, tail }) {
      const found = await findSubject(hub, subject);
      if (found.kind === "job") return [await hub.getJobLog(found.id, { tail })];
      if (found.kind === "workflow") throw notARun(subject);
      const { steps } = await hub.getRun(found.id);
      const wanted = steps.filter((each) => each.attempt > 0 && (step ?? each.step) === each.step);
      const logs: object[] = [];
      for (const each of wanted) {
        logs.push({ step: each.step, ...(await hub.getJobLog(each.id, { tail })) });
      }
      return logs;
    },
  }),
  why: tool({
    title: "Why does it wait?",
    description:
      "Why a run, a job or a workflow does not run, which machine lacks the least, and a command that helps. Without a subject: everything that waits.",
    needs: "read",
    input: { subject: z.string().optional().describe("A run, a job's number or a workflow") },
    call: (hub, { subject }) => findReasons(hub, subject),
  }),
  list_nodes: tool({
    title: "List machines",
    description: "The machines, what they offer, and what they do.",
    needs: "read",
    input: {},
    call: async (hub) => (await hub.listNodes()).data,
  }),

  start_run: tool({
    title: "Start a run",
    description: "Start a run of a workflow, with an input that fits its schema.",
    needs: "run",
    input: { workflow, input: z.record(z.string(), z.unknown()).optional() },
    call: (hub, { workflow: of, input }) => hub.startRun(of, input === undefined ? {} : { input }),
  }),
  retry_run: tool({
    title: "Retry a run",
    description: "Repeat what failed of a run, or everything from one step on, as a new run.",
    needs: "run",
    input: { run, from: z.string().optional().describe("The step to begin with") },
    async call(hub, { run: of, from }) {
      const id = await findRun(hub, of);
      return hub.retryRun(id, from === undefined ? {} : { mode: "from", step: from });
    },
  }),
  cancel_run: tool({
    title: "Cancel a run",
    description: "Cancel a run; its running steps are asked to stop at once.",
    needs: "run",
    isDestructive: true,
    input: { run },
    call: async (hub, given) => hub.cancelRun(await findRun(hub, given.run)),
  }),

  pause_node: tool({
    title: "Pause a machine",
    description: "Give a machine no new work, for a while or until it is resumed.",
    needs: "operate",
    input: { node, note, for: z.string().optional().describe("A duration such as 1h") },
    call: (hub, { node: name, note: text, for: time }) =>
      hub.steerNode(name, "pause", {
        ...(text !== undefined && { note: text }),
        ...(time !== undefined && { forMs: readDuration("for", time) }),
      }),
  }),
  drain_node: tool({
    title: "Drain a machine",
    description: "Give a machine no new work, and let it finish what it runs.",
    needs: "operate",
    input: { node, note },
    call: (hub, { node: name, note: text }) =>
      hub.steerNode(name, "drain", text === undefined ? {} : { note: text }),
  }),
  resume_node: tool({
    title: "Resume a machine",
    description: "Give a machine work again.",
    needs: "operate",
    input: { node },
    call: (hub, given) => hub.steerNode(given.node, "resume"),
  }),
} satisfies Record<string, Tool>;

const notARun = (subject: string): CliError =>
  new CliError("RUN_NOT_FOUND", {
    what: `${subject} is a workflow, and this takes a run`,
    why: "a workflow may have several runs",
    fix: "list_runs with this workflow",
  });
