import { describe, expect } from "vitest";
import { apiTokensContract } from "./contract/api-tokens.ts";
import { cancelContract } from "./contract/cancel.ts";
import { claimContract } from "./contract/claim.ts";
import { concurrencyContract } from "./contract/concurrency.ts";
import { declineContract } from "./contract/decline.ts";
import { enqueueContract } from "./contract/enqueue.ts";
import { eventsContract } from "./contract/events.ts";
import { expireContract } from "./contract/expire.ts";
import { historyContract } from "./contract/history.ts";
import { leadershipContract } from "./contract/leadership.ts";
import { listsContract } from "./contract/lists.ts";
import { logsContract } from "./contract/logs.ts";
import { lostAnswersContract } from "./contract/lost-answers.ts";
import { nodeStatusContract } from "./contract/node-status.ts";
import { pauseContract } from "./contract/pause.ts";
import { placeContract } from "./contract/place.ts";
import { queueDepthContract } from "./contract/queue-depth.ts";
import { reapContract } from "./contract/reap.ts";
import { redriveContract } from "./contract/redrive.ts";
import { reportContract } from "./contract/report.ts";
import { requestsContract } from "./contract/requests.ts";
import { retentionContract } from "./contract/retention.ts";
import { retryContract } from "./contract/retry.ts";
import { runContract } from "./contract/run.ts";
import { scheduleActionsContract } from "./contract/schedule-actions.ts";
import { schedulesContract } from "./contract/schedules.ts";
import { sessionContract } from "./contract/session.ts";
import { settleContract } from "./contract/settle.ts";
import { settleBatchContract } from "./contract/settle-batch.ts";
import { traceparentContract } from "./contract/traceparent.ts";
import { verifyContract } from "./contract/verify.ts";
import { waitingContract } from "./contract/waiting.ts";
import { weighingContract } from "./contract/weighing.ts";
import type { QueueTest } from "./queue-test.ts";

/**
 * Everything that a queue promises, as tests: what every transport has to pass.
 *
 * @param name - Of the transport, for the titles.
 * @param test - `databaseTest`, or what `databaseTest.extend("queue", …)` makes of it.
 */
export function describeQueue(name: string, test: QueueTest): void {
  describe(`a queue over ${name}`, () => {
    // However a test leaves the rows, they do not contradict one another.
    test.afterEach(async ({ queue }) => expect(await queue.verify()).toEqual([]));

    runContract(test);
    enqueueContract(test);
    waitingContract(test);
    weighingContract(test);
    queueDepthContract(test);
    traceparentContract(test);
    placeContract(test);
    claimContract(test);
    concurrencyContract(test);
    declineContract(test);
    settleContract(test);
    settleBatchContract(test);
    sessionContract(test);
    reportContract(test);
    nodeStatusContract(test);
    reapContract(test);
    expireContract(test);
    pauseContract(test);
    cancelContract(test);
    retryContract(test);
    redriveContract(test);
    logsContract(test);
    historyContract(test);
    eventsContract(test);
    retentionContract(test);
    apiTokensContract(test);
    requestsContract(test);
    listsContract(test);
    leadershipContract(test);
    schedulesContract(test);
    scheduleActionsContract(test);
    lostAnswersContract(test);
  });
  // Breaks the rows on purpose.
  describe(`a broken queue over ${name}`, () => verifyContract(test));
}
