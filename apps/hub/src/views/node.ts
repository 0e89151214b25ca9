import { z } from "@hono/zod-openapi";
import type { Node } from "@loom/queue";

export const nodeView = z
  .object({
    name: z.string(),
    online: z.boolean(),
    status: z.enum(["active", "paused", "draining"]),
    statusNote: z.string().nullable(),
    /** When the status ends by itself. */
    statusUntil: z.iso.datetime().nullable(),
    lastSeenMs: z.number().nullable(),
    capabilities: z.array(z.string()),
    slots: z.int(),
    /** Jobs that it runs, and offers that it has not claimed: both take slots. */
    running: z.int(),
    offered: z.int(),
    agentVersion: z.string().nullable(),
    tailnetAddress: z.string().nullable(),
    facts: z.record(z.string(), z.unknown()),
  })
  .openapi("Node");

/** Of a node what a reader needs, and no more. */
export const toNodeView = (node: Node): z.output<typeof nodeView> =>
  nodeView.parse({ ...node, statusUntil: node.statusUntil?.toISOString() ?? null });
