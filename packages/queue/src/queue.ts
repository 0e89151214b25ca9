import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { type NodeKeys, nodeKeys } from "./access/node-keys.ts";
import { type ApiTokens, apiTokens } from "./access/tokens.ts";
import { type ApiRequest, type Audit, audit, auditedTransport } from "./audit.ts";
import { type Code, code } from "./code.ts";
import { QueueSchemaError, QueueUnavailableError } from "./errors.ts";
import { type Checkpoints, checkpoints } from "./exchange/checkpoints.ts";
import { type Exchanges, exchanges } from "./exchange/exchange.ts";
import { type Files, files } from "./files/files.ts";
import { type Conditions, conditions } from "./forms/conditions.ts";
import { type Maps, maps } from "./forms/maps.ts";
import { type Waits, waits } from "./forms/waits.ts";
import { type Events, events } from "./history/events.ts";
import { type Summaries, summaries } from "./history/summary.ts";
import { type Deliveries, deliveries } from "./hooks/deliveries.ts";
import { type Hooks, hooks } from "./hooks/hooks.ts";
import { type Jobs, jobs } from "./jobs.ts";
import { type Leadership, leadership, type Maintenance, maintenance } from "./leadership.ts";
import { type Logs, logs } from "./logs.ts";
import { type Nodes, nodes } from "./nodes.ts";
import { type Placing, placing } from "./placing.ts";
import { type Rounds, rounds } from "./round.ts";
import { type Runs, runs } from "./runs.ts";
import { type Schedules, schedules } from "./schedules.ts";
import { type Sessions, sessions } from "./sessions.ts";
import type { Call, Transport } from "./transport/call.ts";
import {
  createUnreadableRows,
  noting,
  type UnreadableRow,
  type UnreadableRows,
} from "./transport/rows.ts";
import { supabaseTransport } from "./transport/supabase.ts";

/**
 * The job queue. Every method is one SQL function and one transaction. If an answer was lost, the
 * same call may be made again; a call that adds something needs a key for that.
 *
 * A job runs at least once; its outcome is recorded exactly once.
 *
 * All methods throw `QueueUnavailableError` (try again), `QueueAccessError`, `QueueSchemaError` and
 * `QueueRequestError` (do not).
 */
export interface Queue
  extends Runs,
    Jobs,
    Logs,
    Checkpoints,
    Maps,
    Audit,
    Code,
    Events,
    Files,
    Summaries,
    Nodes,
    NodeKeys,
    Sessions,
    Exchanges,
    Conditions,
    Waits,
    Placing,
    Schedules,
    Leadership,
    Rounds,
    Hooks,
    Deliveries,
    Maintenance,
    ApiTokens {
  /**
   * The same queue, whose calls are written down as somebody's request, in the transaction of what
   * they change. A request with a key is done once; repeated, it gets the first one's answer.
   *
   * Every method throws `QueueRequestError` `IDEMPOTENCY_KEY_REUSED` when the key was another request's, and
   * `NOT_EXISTING` for something new where the request says that it has to be there already.
   *
   * @see sql/audit.sql
   */
  withAudit(request: ApiRequest): Queue;

  /**
   * Lists rows that were left out of answers in the last ten minutes, because they cannot be read:
   * they were written without Loom's functions. It does not call the database.
   */
  unreadableRows(): UnreadableRow[];
}

/**
 * Creates a queue over a Supabase client (or anything that speaks PostgREST).
 *
 * @param options.timeoutMs - How long to wait for an answer. Default 10 000.
 * @param options.onUnreadable - Called with each row that an answer leaves out, once in a while.
 */
export function createQueue({
  client,
  timeoutMs = 10_000,
  onUnreadable,
}: {
  client: SupabaseClient;
  timeoutMs?: number;
  onUnreadable?: (row: UnreadableRow) => void;
}): Queue {
  return queueOver(supabaseTransport(client, timeoutMs), { onUnreadable });
}

/**
 * The queue over any transport.
 *
 * @param options.notify - Wake the channel `loom_offers` for whom there are new offers. A
 *   notification takes a lock at commit that all writers share, so only with listeners.
 */
export function queueOver(
  transport: Transport,
  {
    notify = false,
    onUnreadable = () => {},
    unreadable = createUnreadableRows(onUnreadable),
  }: {
    notify?: boolean | undefined;
    onUnreadable?: ((row: UnreadableRow) => void) | undefined;
    unreadable?: UnreadableRows;
  } = {},
): Queue {
  const call: Call = async (name, args, schema) => {
    const said = await transport.call(name, args);
    const [answer, passedOver] = noting(() => schema.safeParse(said));
    for (const found of passedOver) unreadable.add({ operation: name, ...found });
    if (answer.success) return answer.data;
    // A gateway may send an empty page; a different version of Loom would not.
    if (said === null) throw new QueueUnavailableError(name, "server", "an empty answer");
    // The functions and this client are both ours, so an answer of another form means different
    // versions.
    throw new QueueSchemaError(name, z.prettifyError(answer.error));
  };

  return {
    ...runs(call),
    ...jobs(call, { notify }),
    ...logs(call),
    ...checkpoints(call),
    ...maps(call),
    ...audit(call),
    ...code(call),
    ...events(call),
    ...files(call),
    ...summaries(call),
    ...nodes(call),
    ...nodeKeys(call),
    ...sessions(call),
    ...exchanges(call),
    ...conditions(call),
    ...waits(call),
    ...placing(call, { notify }),
    ...schedules(call),
    ...leadership(call),
    ...rounds(call),
    ...hooks(call),
    ...deliveries(call),
    ...maintenance(call),
    ...apiTokens(call),
    withAudit: (request) => queueOver(auditedTransport(transport, request), { notify, unreadable }),
    unreadableRows: () => unreadable.list(),
  };
}
