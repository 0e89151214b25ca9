export {
  allows,
  type Identity,
} from "./access/authenticate.ts";
export { addressOf, guard } from "./access/guard.ts";
export {
  bindingsOf,
  isForwarded,
  isFromHere,
  isLoopback,
  knownHost,
  peerOf,
} from "./access/origin.ts";
export { createRateLimiter, type RateLimit } from "./access/rate-limit.ts";
export { deleteSessionCookie, writeSessionCookie } from "./access/session-cookie.ts";
export { openTailnet, type TailnetAccess, type WhoIs } from "./access/tailnet.ts";
export { createTokenMemory, fingerprintOf, type TokenMemory } from "./access/tokens.ts";
export {
  type ApiDocument,
  type Operation,
  operationsOf,
  printSchema,
} from "./api-document.ts";
export { exactJson } from "./exact-json.ts";
export { withIsoDates } from "./iso-dates.ts";
export {
  alsoRequireScope,
  answer,
  audited,
  auditedOnce,
  body,
  createRouter,
  eventStream,
  idempotencyHeaders,
  optionalBody,
  requireScope,
  route,
} from "./operation.ts";
export { readCursor, toPage } from "./page.ts";
export { pauseRoutes } from "./pause.ts";
export {
  onError,
  PRIVATE,
  ProblemError,
  problem,
  respondProblem,
  toAnswer,
  toProblem,
} from "./problem.ts";
export { describeProblem, type ProblemDetails } from "./problem-table.ts";
export { referenceRoutes } from "./reference.ts";
export type { HubEnv, RequestContext } from "./request.ts";
