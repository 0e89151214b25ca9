import type { ApiTokens } from "./api-token.ts";
import type { Events } from "./event.ts";
import type { Jobs } from "./jobs.ts";
import type { Leadership } from "./leadership.ts";
import type { Lists } from "./lists.ts";
import type { Nodes } from "./nodes.ts";
import type { Placing } from "./placing.ts";
import type { ApiRequest } from "./request.ts";
import type { Runs } from "./runs.ts";
import type { Schedules } from "./schedule.ts";
import type { Sessions } from "./sessions.ts";
import type { Upkeep } from "./upkeep.ts";

/**
 * The job queue. Every method is one SQL function and one transaction, and every
 * method may be called again when its answer was lost; what is added then needs a key.
 *
 * A job is run at least once; its outcome is recorded exactly once.
 *
 * All methods throw `QueueUnavailableError` (try again), `QueueAccessError`,
 * `QueueSchemaError` and `QueueRequestError` (do not).
 */
export interface Queue
  extends Runs,
    Jobs,
    Lists,
    Events,
    Nodes,
    Sessions,
    Placing,
    Schedules,
    Leadership,
    Upkeep,
    ApiTokens {
  /**
   * The same queue, whose calls are written down as somebody's request, in the transaction of what
   * they change. A request with a key is done once; repeated, it gets the first one's answer.
   *
   * Every method throws `QueueRequestError` `IDEMPOTENCY_KEY_REUSED` when the key was another request's, and
   * `NOT_EXISTING` for something new where the request says that it has to be there already.
   *
   * @see sql/act.sql
   */
  actingFor(request: ApiRequest): Queue;
}
