import { describe, expect } from "vitest";
import { badDataContract } from "./contract/calls/bad-data.ts";
import { limitsContract } from "./contract/calls/limits.ts";
import { lostAnswersContract } from "./contract/calls/lost-answers.ts";
import { eventsContract } from "./contract/history/events.ts";
import { historyContract } from "./contract/history/history.ts";
import { retentionContract } from "./contract/history/retention.ts";
import { summaryContract } from "./contract/history/summary.ts";
import { verifyContract } from "./contract/history/verify.ts";
import { apiTokensContract } from "./contract/hubs/api-tokens.ts";
import { deliveriesContract } from "./contract/hubs/deliveries.ts";
import { hooksContract } from "./contract/hubs/hooks.ts";
import { leadershipContract } from "./contract/hubs/leadership.ts";
import { listsContract } from "./contract/hubs/lists.ts";
import { requestsContract } from "./contract/hubs/requests.ts";
import { roundContract } from "./contract/hubs/round.ts";
import { cancelContract } from "./contract/jobs/cancel.ts";
import { checkpointsContract } from "./contract/jobs/checkpoints.ts";
import { claimContract } from "./contract/jobs/claim.ts";
import { concurrencyContract } from "./contract/jobs/concurrency.ts";
import { declineContract } from "./contract/jobs/decline.ts";
import { enqueueContract } from "./contract/jobs/enqueue.ts";
import { expireContract } from "./contract/jobs/expire.ts";
import { logsContract } from "./contract/jobs/logs.ts";
import { redriveContract } from "./contract/jobs/redrive.ts";
import { settleContract } from "./contract/jobs/settle.ts";
import { settleBatchContract } from "./contract/jobs/settle-batch.ts";
import { codeContract } from "./contract/nodes/code.ts";
import { nodeStatusContract } from "./contract/nodes/node-status.ts";
import { reapContract } from "./contract/nodes/reap.ts";
import { reapJobsContract } from "./contract/nodes/reap-jobs.ts";
import { reportContract } from "./contract/nodes/report.ts";
import { sessionContract } from "./contract/nodes/session.ts";
import { upgradesContract } from "./contract/nodes/upgrades.ts";
import { explainWaitContract } from "./contract/placing/explain-wait.ts";
import { openContract } from "./contract/placing/open.ts";
import { placeContract } from "./contract/placing/place.ts";
import { queueDepthContract } from "./contract/placing/queue-depth.ts";
import { waitingContract } from "./contract/placing/waiting.ts";
import { mapContract } from "./contract/runs/map.ts";
import { mapRacesContract } from "./contract/runs/map-races.ts";
import { pauseContract } from "./contract/runs/pause.ts";
import { retryContract } from "./contract/runs/retry.ts";
import { runContract } from "./contract/runs/run.ts";
import { traceparentContract } from "./contract/runs/traceparent.ts";
import { scheduleActionsContract } from "./contract/schedules/schedule-actions.ts";
import { schedulesContract } from "./contract/schedules/schedules.ts";
import type { QueueTest } from "./queue-test.ts";

/**
 * Defines tests of everything that a queue promises. Every transport has to pass them.
 *
 * @param name - The transport's name, for the titles.
 * @param test - `databaseTest`, or the result of `databaseTest.extend("queue", …)`.
 */
export function describeQueue(name: string, test: QueueTest): void {
  describe(`a queue over ${name}`, () => {
    // After every test, the rows must not contradict one another.
    test.afterEach(async ({ queue }) => expect(await queue.verify()).toEqual([]));

    runContract(test);
    enqueueContract(test);
    waitingContract(test);
    explainWaitContract(test);
    queueDepthContract(test);
    traceparentContract(test);
    placeContract(test);
    openContract(test);
    claimContract(test);
    checkpointsContract(test);
    concurrencyContract(test);
    declineContract(test);
    settleContract(test);
    settleBatchContract(test);
    sessionContract(test);
    reportContract(test);
    upgradesContract(test);
    codeContract(test);
    nodeStatusContract(test);
    reapContract(test);
    reapJobsContract(test);
    expireContract(test);
    mapContract(test);
    mapRacesContract(test);
    pauseContract(test);
    cancelContract(test);
    retryContract(test);
    redriveContract(test);
    logsContract(test);
    historyContract(test);
    eventsContract(test);
    retentionContract(test);
    summaryContract(test);
    apiTokensContract(test);
    requestsContract(test);
    listsContract(test);
    leadershipContract(test);
    roundContract(test);
    hooksContract(test);
    deliveriesContract(test);
    schedulesContract(test);
    scheduleActionsContract(test);
    lostAnswersContract(test);
    badDataContract(test);
    limitsContract(test);
  });
  // Breaks the rows on purpose.
  describe(`a broken queue over ${name}`, () => verifyContract(test));
}
