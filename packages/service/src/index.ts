export { ServiceError } from "./errors.ts";
export type { Scope, ServiceDefinition, ServiceFiles, ServiceStatus } from "./manager.ts";
export { serviceProgram, serviceUser } from "./program.ts";
export { defaultScope, openService, type Service } from "./service.ts";
