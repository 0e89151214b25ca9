export type { RateLimit } from "./access/rate-limit.ts";
export type { TailnetAccess, WhoIs } from "./access/tailnet.ts";
export { createHub, type HubDeps } from "./create-hub.ts";
export { createDispatcher, type Dispatcher } from "./dispatcher.ts";
export { ListenError } from "./errors.ts";
export { createLeader, type Leader } from "./loops/leader.ts";
export { createTimetable, type Timetable } from "./loops/timetable.ts";
export { type HubOptions, type RunningHub, startHub } from "./start-hub.ts";
