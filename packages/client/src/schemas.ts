export { diagnosisSchema } from "./schemas/doctor.ts";
export { auditEntrySchema, eventSchema, summaryQuery, summarySchema } from "./schemas/events.ts";
export {
  explainRequest,
  explanationSchema,
  jobExplanationSchema,
} from "./schemas/explain.ts";
export {
  approvalQuery,
  approvalSchema,
  decisionRequest,
  sentSignalSchema,
  signalParams,
  signalRequest,
} from "./schemas/forms/waits.ts";
export {
  changedHookSchema,
  deliverySchema,
  hookChangeRequest,
  hookRequest,
  hookSchema,
} from "./schemas/hooks.ts";
export {
  addedJobsSchema,
  addJobsRequest,
  cancelledJobSchema,
  itemQuery,
  itemSchema,
  jobParams,
  jobQuery,
  jobSchema,
  jobSummarySchema,
  logQuery,
  logSchema,
} from "./schemas/jobs.ts";
export { meshSchema } from "./schemas/mesh.ts";
export {
  allowedOffersSchema,
  allowRequest,
  nodeKeySchema,
  nodeSchema,
  nodeVerb,
  removedNodeSchema,
  revokedNodeKeySchema,
  steeredSchema,
  steerRequest,
  upgradeOrderedSchema,
} from "./schemas/nodes.ts";
export { pageOf, pageQuery } from "./schemas/page.ts";
export { problemSchema } from "./schemas/problem.ts";
export {
  beginUploadRequest,
  cancelledRunSchema,
  execRequest,
  plannedRunSchema,
  rerunRequest,
  retryRequest,
  runFileSchema,
  runQuery,
  runSchema,
  runSummarySchema,
  startRequest,
  storedFileSchema,
  uploadSchema,
} from "./schemas/runs.ts";
export { scheduleSchema, scheduleSlotSchema, triggerRequest } from "./schemas/schedules.ts";
export { strandListSchema, strandSchema } from "./schemas/strands.ts";
export {
  joinedSchema,
  joinRequest,
  joinTokenRequest,
  joinTokenSchema,
  newJoinTokenSchema,
  newTokenSchema,
  openSessionSchema,
  sessionSchema,
  tokenRequest,
  tokenSchema,
} from "./schemas/tokens.ts";
export { pauseRequest, wholeNumber } from "./schemas/values.ts";
export { stepVerdictSchema, verdictKind } from "./schemas/verdict.ts";
