import { randomUUID } from "node:crypto";
import type { Node } from "@loom/client";
import { upgradeOrderedSchema } from "@loom/client/schemas";
import { answer, auditedOnce, createRouter, idempotencyHeaders, problem, route } from "@loom/http";
import type { Node as QueueNode } from "@loom/queue";
import { z } from "zod";
import type { JoinHub } from "./join-context.ts";

const DESCRIPTION =
  "The node fetches the agent, checks the hub's signature, finishes what it runs (`agent.drainsUntil` says until when; the rest goes back at no cost) and starts the new one. It goes back to the agent of before when the new one does not report within a minute; its `agent.problem` says why.";

const upgrade = route("upgradeNode", "operate", {
  method: "post",
  path: "/{name}/upgrade",
  summary: "Let a node take the agent that this hub has",
  description: DESCRIPTION,
  request: { params: z.object({ name: z.string() }), headers: idempotencyHeaders },
  responses: { 200: answer("The node learns of it with its next heartbeat", upgradeOrderedSchema) },
  fails: [404, 409],
});

const upgradeAll = route("upgradeNodes", "operate", {
  method: "post",
  path: "/upgrade",
  summary: "Let all nodes take the agent that this hub has, one after the other",
  description: `${DESCRIPTION} The next node, by name, begins when the one before has said how it ended, or is offline.`,
  request: { headers: idempotencyHeaders },
  responses: {
    200: answer("The nodes that have the order, and why others do not", upgradeOrderedSchema),
  },
  fails: [409],
});

export function upgradeRoutes({ queue, join, onOrders }: JoinHub) {
  const app = createRouter();
  const presentAgent = async () => {
    if (!join.agent) throw problem("UPGRADE_UNAVAILABLE");
    const { digest, version } = await join.agent();
    return { digest, version };
  };

  app.openapi(upgrade, async (c) => {
    const { name } = c.req.valid("param");
    const nodes = await queue.listNodes();
    const node = nodes.find((known) => known.name === name);
    if (!node) {
      throw problem(
        "NODE_NOT_FOUND",
        name,
        nodes.map((known) => known.name),
      );
    }
    const agent = await presentAgent();
    const why = whyNot(node, agent.digest);
    if (why !== undefined) throw problem("NODE_NOT_UPGRADABLE", name, why);
    const given = await (await auditedOnce(c, queue)).orderUpgrade([name], randomUUID());
    if (!given) throw problem("NODE_NOT_FOUND", name);
    onOrders(given.ordered);
    return c.json({ agent, ordered: given.ordered, skipped: [] }, 200);
  });

  app.openapi(upgradeAll, async (c) => {
    const agent = await presentAgent();
    const nodes = (await queue.listNodes()).map(({ name, ...node }) => ({
      name,
      why: whyNot(node, agent.digest),
    }));
    const skipped = nodes.flatMap(({ name, why }) =>
      why === undefined ? [] : [{ node: name, reason: SKIPPED[why] }],
    );
    const names = nodes.filter(({ why }) => why === undefined).map(({ name }) => name);
    const given =
      names.length > 0
        ? await (await auditedOnce(c, queue)).orderUpgrade(names, randomUUID())
        : null;
    const ordered = given?.ordered ?? [];
    onOrders(ordered);
    return c.json({ agent, ordered, skipped }, 200);
  });

  return app;
}

const SKIPPED = {
  present: "has this agent already",
  foreign: "was not installed by the hub's script: upgrade it where it came from",
} as const;

/** Why a node gets no order to take the agent with this digest; undefined: it gets one. */
function whyNot(node: Pick<QueueNode, "facts">, present: string): keyof typeof SKIPPED | undefined {
  const own = readAgent(node.facts);
  if (!own) return "foreign";
  return own.digest === present ? "present" : undefined;
}

/** What a node says of its agent; undefined where the agent does not come from a hub. */
const readAgent = (facts: QueueNode["facts"]) => agentFacts.safeParse(facts.agent).data;

const agentFacts = z.object({
  digest: z.string(),
  drainsUntil: z.iso.datetime().optional().catch(undefined),
  problem: z.object({ message: z.string() }).optional(),
});

/**
 * A node's agent, as the API shows it.
 *
 * @param present - The digest of the hub's own; undefined while it is not known.
 */
export function describeAgent(
  { facts, upgradeOrder }: Pick<QueueNode, "facts" | "upgradeOrder">,
  present: string | undefined,
): Node["agent"] {
  const own = readAgent(facts);
  if (!own) return null;
  return {
    digest: own.digest,
    isPresent: present === undefined ? null : own.digest === present,
    isOrdered: upgradeOrder !== null,
    drainsUntil: own.drainsUntil ?? null,
    problem: own.problem?.message ?? null,
  };
}
