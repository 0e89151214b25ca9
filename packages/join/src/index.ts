export { downloadRoutes } from "./download-routes.ts";
export {
  type AgentArchive,
  type JoinContext,
  type JoinHub,
  NO_JOIN,
  type OwnMachine,
} from "./join-context.ts";
export { joinRoutes } from "./join-routes.ts";
export { createNodeArchives, type NodeArchives } from "./node-archives.ts";
export { passThroughRoutes } from "./pass-through.ts";
export { safeWaysOnly } from "./place.ts";
export { joinScript } from "./script.ts";
export { joinTokenRoutes } from "./token-routes.ts";
export { describeAgent, upgradeRoutes } from "./upgrade-routes.ts";
