import type { Delivery, Hook, HookRule, ShownTarget } from "@loom/client";
import {
  changedHookSchema,
  deliverySchema,
  hookChangeRequest,
  hookRequest,
  hookSchema,
  pageOf,
  pageQuery,
} from "@loom/client/schemas";
import {
  answer,
  audited,
  auditedOnce,
  body,
  createRouter,
  idempotencyHeaders,
  problem,
  readCursor,
  route,
  toPage,
  withIsoDates,
} from "@loom/http";
import type { HookSettings, Delivery as QueueDelivery, Hook as QueueHook } from "@loom/queue";
import { limits } from "@loom/workflow";
import { z } from "zod";
import type { HubContext } from "../hub-context.ts";
import { describeOccurrence } from "./message.ts";
import { completeTarget, sealTarget } from "./targets.ts";

const params = z.object({ name: z.string() });

const list = route("listHooks", "operate", {
  method: "get",
  path: "/",
  summary: "Who is notified of what, by name",
  responses: {
    200: answer("The hooks, without their secrets", z.object({ data: z.array(hookSchema) })),
  },
});

const read = route("getHook", "operate", {
  method: "get",
  path: "/{name}",
  summary: "A hook, without its secrets",
  request: { params },
  responses: { 200: answer("The hook", hookSchema) },
  fails: [404],
});

const create = route("createHook", "admin", {
  method: "post",
  path: "/",
  summary: "Send messages about runs, steps, approvals, machines or schedules to a target",
  description:
    "Addresses and secrets of targets cannot be read afterwards: of an address, only scheme, host and port are shown. If the hub makes the secret of a webhook, only this answer contains it.",
  request: { body: body(hookRequest) },
  responses: { 201: answer("The hook", changedHookSchema) },
  fails: [409],
});

const change = route("changeHook", "admin", {
  method: "patch",
  path: "/{name}",
  summary: "Change a hook, or disable it",
  description:
    "What is left out stays. A target is given whole, with its secrets. Messages that are still to be sent end as failed when the hook is disabled.",
  request: { params, body: body(hookChangeRequest) },
  responses: { 200: answer("The hook", changedHookSchema) },
  fails: [404],
});

const remove = route("removeHook", "admin", {
  method: "delete",
  path: "/{name}",
  summary: "Remove a hook with its deliveries",
  request: { params },
  responses: { 200: answer("The hook as it was", hookSchema) },
  fails: [404],
});

const test = route("testHook", "operate", {
  method: "post",
  path: "/{name}/test",
  summary: "Send a test message, also if the hook is disabled",
  description: "It is sent like any other; the list of deliveries says what becomes of it.",
  request: { params, headers: idempotencyHeaders },
  responses: { 201: answer("The delivery", deliverySchema) },
  fails: [404, 409, 422],
});

const listDeliveries = route("listDeliveries", "operate", {
  method: "get",
  path: "/{name}/deliveries",
  summary: "The messages of a hook, newest first, with what became of each",
  request: { params, query: z.strictObject(pageQuery) },
  responses: { 200: answer("A page of deliveries", pageOf(deliverySchema)) },
  fails: [404, 422],
});

const redeliver = route("redeliver", "operate", {
  method: "post",
  path: "/{name}/deliveries/{id}/redeliver",
  summary: "Send a message again that arrived or was given up",
  description: "It keeps its id, so a receiver that has it already can leave it out.",
  request: { params: z.object({ name: z.string(), id: z.string() }), headers: idempotencyHeaders },
  responses: { 200: answer("The delivery", deliverySchema) },
  fails: [404, 409, 422],
});

export function hookRoutes({ queue, seal, onDeliveries }: HubContext) {
  const app = createRouter();

  async function find(name: string): Promise<QueueHook> {
    const hook = (await queue.listHooks()).find((each) => each.name === name);
    if (!hook) throw problem("HOOK_NOT_FOUND", name);
    return hook;
  }

  app.openapi(list, async (c) => c.json({ data: (await queue.listHooks()).map(toHook) }, 200));

  app.openapi(read, async (c) => c.json(toHook(await find(c.req.valid("param").name)), 200));

  // No Idempotency-Key: the digest of a request with a password would be kept, and could be guessed.
  app.openapi(create, async (c) => {
    const { name, target: given, workflows = [], enabled = true, ...rest } = c.req.valid("json");
    const { target, secret } = completeTarget(given);
    const hook = await audited(c, queue).createHook({
      name,
      ...toSettings({ ...rest, workflows, enabled }),
      target: sealTarget(target, name, seal),
      createdBy: c.get("identity").who,
    });
    return c.json({ ...toHook(hook), ...(secret !== undefined && { secret }) }, 201);
  });

  app.openapi(change, async (c) => {
    const { name } = c.req.valid("param");
    const { target: given, ...changes } = c.req.valid("json");
    const before = await find(name);
    const completed = given && completeTarget(given);
    const rules = changes.rules ?? before.rules;
    // A time that no rule uses any more goes without a word.
    const keptMs = rules.includes("step.waiting") ? before.waitingMs : null;
    const hook = await audited(c, queue).changeHook(name, {
      ...toSettings({
        rules,
        workflows: changes.workflows ?? before.workflows,
        enabled: changes.enabled ?? before.enabled,
        waitingMs: changes.waitingMs ?? keptMs ?? undefined,
      }),
      ...(completed && { target: sealTarget(completed.target, name, seal) }),
    });
    if (!hook) throw problem("HOOK_NOT_FOUND", name);
    const secret = completed?.secret;
    return c.json({ ...toHook(hook), ...(secret !== undefined && { secret }) }, 200);
  });

  app.openapi(remove, async (c) => {
    const { name } = c.req.valid("param");
    const removed = await audited(c, queue).removeHook(name);
    if (!removed) throw problem("HOOK_NOT_FOUND", name);
    return c.json(toHook(removed), 200);
  });

  app.openapi(test, async (c) => {
    const { name } = c.req.valid("param");
    const made = await (await auditedOnce(c, queue)).testHook(name, c.get("identity").who);
    if (!made) throw problem("HOOK_NOT_FOUND", name);
    onDeliveries();
    return c.json(toDelivery(made), 201);
  });

  app.openapi(listDeliveries, async (c) => {
    const { name } = c.req.valid("param");
    const { cursor, limit } = c.req.valid("query");
    const filters = { list: "deliveries", name };
    const after = readCursor(cursor, filters, z.string());
    const page = await queue.listDeliveries(name, { after, limit });
    if (!page) throw problem("HOOK_NOT_FOUND", name);
    return c.json(toPage(c, page.deliveries.map(toDelivery), page.next, filters), 200);
  });

  app.openapi(redeliver, async (c) => {
    const { name, id } = c.req.valid("param");
    const again = await (await auditedOnce(c, queue)).redeliver(name, id);
    if (!again) {
      await find(name);
      throw problem("DELIVERY_NOT_FOUND", id, name);
    }
    onDeliveries();
    return c.json(toDelivery(again), 200);
  });

  return app;
}

/** @throws ProblemError `HOOK_RULES_INVALID` for settings that none of the rules uses. */
function toSettings({
  rules,
  workflows,
  enabled,
  waitingMs,
}: Omit<HookSettings, "waitingMs"> & {
  rules: readonly HookRule[];
  waitingMs?: number | undefined;
}) {
  const hasWaits = rules.includes("step.waiting");
  if (waitingMs !== undefined && !hasWaits) {
    throw problem("HOOK_RULES_INVALID", "waitingMs", "only step.waiting has a time to wait");
  }
  if (workflows.length > 0 && rules.includes("node.lost")) {
    throw problem("HOOK_RULES_INVALID", "workflows", "node.lost concerns no workflow");
  }
  return {
    rules,
    workflows,
    enabled,
    waitingMs: hasWaits ? (waitingMs ?? limits.hookWaitMs) : null,
  };
}

const toHook = ({ target, lastDelivery, ...hook }: QueueHook): Hook =>
  withIsoDates({
    ...hook,
    target: target as ShownTarget,
    lastDelivery: lastDelivery && toDelivery(lastDelivery),
  });

const toDelivery = ({ facts, ...delivery }: QueueDelivery): Delivery =>
  withIsoDates({ ...delivery, ...describeOccurrence({ ...delivery, facts }) });
