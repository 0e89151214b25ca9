export { createHub, type HubDeps } from "./create-hub.ts";
export { createDispatcher, type Dispatcher } from "./dispatcher.ts";
export { ListenError } from "./errors.ts";
export { type HubOptions, type RunningHub, startHub } from "./start-hub.ts";
