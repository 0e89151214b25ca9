import type { z } from "@hono/zod-openapi";
import type { Diagnosis } from "../views/doctor.ts";
import type { eventView } from "../views/event.ts";
import type { ExplanationView } from "../views/explanation.ts";
import type { jobSummaryView, jobView } from "../views/job.ts";
import type { JobExplanation } from "../views/job-explanation.ts";
import type { logView } from "../views/log.ts";
import type { MeshView } from "../views/mesh.ts";
import type { nodeView } from "../views/node.ts";
import type { requestView } from "../views/request.ts";
import type { runView } from "../views/run.ts";
import type { runSummaryView } from "../views/run-summary.ts";
import type { scheduleView, slotView } from "../views/schedule.ts";
import type { sessionView } from "../views/session.ts";
import type { plannedRunView } from "../views/started.ts";
import type { strandSummaryView, strandView } from "../views/strand.ts";
import type { tokenView } from "../views/token.ts";
import type { PlanVerdict, StepVerdict } from "../views/verdict.ts";

export type { PlanVerdict, StepVerdict };

// What the hub checks its own answers' types against; nothing of it is there at run time.
export type Run = z.output<typeof runView>;
export type RunSummary = z.output<typeof runSummaryView>;
/** `verdict`: what would become of each step as the nodes were when it was asked for. */
export type PlannedRun = z.output<typeof plannedRunView>;
/** A job that was added, in the order in which they were asked for. */
export interface AddedJob {
  id: number;
  returned: "created" | "existing";
  verdict: StepVerdict;
}
export type Job = z.output<typeof jobView>;
export type JobSummary = z.output<typeof jobSummaryView>;
export type Log = z.output<typeof logView>;
export type Node = z.output<typeof nodeView>;
export type Strand = z.output<typeof strandView>;
export type StrandSummary = z.output<typeof strandSummaryView>;
export type Schedule = z.output<typeof scheduleView>;
export type ScheduleSlot = z.output<typeof slotView>;
export type Token = z.output<typeof tokenView>;
export type Scope = Token["scopes"][number];
export type Session = z.output<typeof sessionView>;
export type AuditEntry = z.output<typeof requestView>;
export type Event = z.output<typeof eventView>;

export type Explanation = ExplanationView;
export type { Diagnosis, JobExplanation };
export type Mesh = MeshView;

/** A page of a list; `next` is the `cursor` of the following one, null on the last. */
export interface Page<Item> {
  data: Item[];
  next: string | null;
}

/** An RFC 9457 problem document. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  code: string;
  detail: string;
  hint?: string;
  errors?: { path: string; message: string }[];
  suggestions?: string[];
  /** Of steps that no node could run: every node with what speaks against it. */
  explanations?: { step: string; explanation: Explanation }[];
}
