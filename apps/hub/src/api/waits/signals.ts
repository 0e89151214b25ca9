import { sentSignalSchema, signalParams, signalRequest } from "@loom/client/schemas";
import {
  answer,
  auditedOnce,
  createRouter,
  idempotencyHeaders,
  optionalBody,
  route,
} from "@loom/http";
import type { JsonValue } from "@loom/workflow";
import type { HubContext } from "../../hub-context.ts";

const send = route("sendSignal", "run", {
  method: "post",
  path: "/{event}",
  summary: "Send a signal to the steps that wait for it; if none does, it is kept for the next one",
  request: { params: signalParams, headers: idempotencyHeaders, body: optionalBody(signalRequest) },
  responses: { 202: answer("It is stored; the steps that wait for it go on", sentSignalSchema) },
  fails: [409, 422],
});

export function signalRoutes({ queue, onJobsAdded }: HubContext) {
  const app = createRouter();

  app.openapi(send, async (c) => {
    const { event } = c.req.valid("param");
    const { key, data } = c.req.valid("json");
    const sentBy = c.get("identity").who;
    const signal = { event, key, data: data as JsonValue | undefined, sentBy };
    const { id, waiting, keys } = await (await auditedOnce(c, queue)).sendSignal(signal);
    onJobsAdded();
    return c.json({ id, waiting, otherKeys: waiting === 0 ? keys : [] }, 202);
  });

  return app;
}
