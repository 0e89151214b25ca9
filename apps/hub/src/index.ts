export { createDispatcher, type Dispatcher } from "./control/dispatch.ts";
export { createFaults, type Faults } from "./control/faults.ts";
export { createLeader, type Leader } from "./control/leader.ts";
export { createScheduleLoop, type ScheduleLoop } from "./control/schedules.ts";
export { createHub } from "./create-hub.ts";
export type { HubContext, HubParts } from "./hub-context.ts";
export { ListenError } from "./listen/serve.ts";
export { type RunningHub, type StartOptions, startHub } from "./start-hub.ts";
