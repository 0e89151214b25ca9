import type { SupabaseClient } from "@supabase/supabase-js";
import { z } from "zod";
import { apiTokens } from "./api-token.ts";
import type { Call } from "./call.ts";
import { QueueSchemaError } from "./errors.ts";
import { events } from "./event.ts";
import { jobs } from "./jobs.ts";
import { leadership } from "./leadership.ts";
import { lists } from "./lists.ts";
import { nodes } from "./nodes.ts";
import { placing } from "./placing.ts";
import type { Queue } from "./queue.ts";
import { actingTransport } from "./request.ts";
import { runs } from "./runs.ts";
import { schedules } from "./schedule.ts";
import { sessions } from "./sessions.ts";
import { supabaseTransport } from "./supabase-transport.ts";
import type { Transport } from "./transport.ts";
import { upkeep } from "./upkeep.ts";

/**
 * The queue over a Supabase client (or anything that speaks PostgREST).
 *
 * @param options.timeoutMs - When to give an answer up; default 10 000.
 */
export function createQueue(options: { client: SupabaseClient; timeoutMs?: number }): Queue {
  return queueOver(supabaseTransport(options.client, options.timeoutMs ?? 10_000));
}

/**
 * The queue over any transport.
 *
 * @param options.notify - Ring the channel `loom_offers` for whom there are new offers. A
 *   notification takes a lock at commit that all writers share, so only with listeners.
 */
export function queueOver(
  transport: Transport,
  { notify = false }: { notify?: boolean } = {},
): Queue {
  const call: Call = async (name, args, schema) => {
    const answer = schema.safeParse(await transport.call(name, args));
    // Ours on both ends: an answer that does not fit means two versions of Loom.
    if (!answer.success) throw new QueueSchemaError(name, z.prettifyError(answer.error));
    return answer.data;
  };

  return {
    ...runs(call),
    ...jobs(call, { notify }),
    ...lists(call),
    ...events(call),
    ...nodes(call),
    ...sessions(call),
    ...placing(call, { notify }),
    ...schedules(call),
    ...leadership(call),
    ...upkeep(call),
    ...apiTokens(call),
    actingFor: (request) => queueOver(actingTransport(transport, request), { notify }),
  };
}
