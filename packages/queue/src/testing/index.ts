export { connect, databaseTest } from "./database-test.ts";
export { makePlan } from "./plan.ts";
