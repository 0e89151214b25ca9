export { type AskedStep, checkSteps, needOf } from "./check-steps.ts";
export { type CheckReport, examine } from "./doctor/examine.ts";
export type { DoctorFacts, Fault, WakeTry } from "./doctor/facts.ts";
export { explainJob, explainNeed, toExplanation } from "./explain-job.ts";
export { describeMesh, peerOf, type Tailnet } from "./mesh.ts";
export { toScoredJob, toScoredNode } from "./scored.ts";
