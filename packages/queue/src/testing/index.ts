export { claim, offerAll, only, type RunningJob, runningJob, sayHello } from "./agent.ts";
export { connect, databaseTest } from "./database-test.ts";
export { describeQueue } from "./describe-queue.ts";
export { makeJob } from "./new-job.ts";
export { makePlan } from "./plan.ts";
export type { QueueFixtures, QueueTest } from "./queue-test.ts";
export { untilReadable } from "./until-readable.ts";
