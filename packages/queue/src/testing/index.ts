export { connect, type DatabaseFixtures, databaseTest } from "./database-test.ts";
export { makePlan } from "./plan.ts";
