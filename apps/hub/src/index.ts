export type { RateLimit } from "./access/rate-limit.ts";
export type { TailnetAccess, WhoIs } from "./access/tailnet.ts";
export { createHub, type HubDeps } from "./create-hub.ts";
export { createDispatcher, type Dispatcher } from "./dispatcher.ts";
export { ListenError } from "./errors.ts";
export { type HubOptions, type RunningHub, startHub } from "./start-hub.ts";
