import { access as fileAccess } from "node:fs/promises";
import { cron, defineWorkflow, NonRetryableError } from "@loom/workflow";
import { z } from "zod";
import { deployCommands } from "../popos-deploy/commands.ts";
import { readSshAccess } from "../ssh/access.ts";

/**
 * Proves that two machines work together: one step runs on the hub and one on another node, and a
 * check compares their hosts and measures the round trip. If the hub has the key for deploys, that
 * key must reach the other node.
 */
export const crossNodeSmoke = defineWorkflow({
  name: "cross-node-smoke",
  schedule: cron("*/15 * * * *"),
  input: z.object({
    /** The node for the remote step. Default: `pop-os` if it exists, else any other node. */
    host: z.string().min(1).optional(),
  }),
})
  .step("local", { requires: ["loom-hub"], timeout: "1m" }, async ({ node, log }) => {
    log.info({ node }, "local step");
    return { host: node, startedAt: Date.now() };
  })
  .step(
    "remote",
    {
      after: ["local"],
      requires: ["loom-agent"],
      host: ({ input }) => input.host,
      prefers: [{ clause: "node=pop-os", weight: 1 }],
      timeout: "1m",
    },
    async ({ node, results, log }) => {
      log.info({ node, from: results.local.host }, "remote step");
      return { host: node };
    },
  )
  .step(
    "check",
    { after: ["local", "remote"], requires: ["loom-hub"], timeout: "1m" },
    async ({ results }) => {
      const { local, remote } = results;
      if (local.host === remote.host) {
        throw new NonRetryableError(`both steps ran on ${local.host}: no second node took part`);
      }
      // Both times come from a hub. With several hubs, they come from two machines' clocks.
      return { hosts: [local.host, remote.host], roundTripMs: Date.now() - local.startedAt };
    },
  )
  .step(
    "ssh",
    { after: ["remote"], requires: ["loom-hub"], timeout: "1m" },
    async ({ results, signal }) => {
      const { host } = results.remote;
      const access = readSshAccess();
      const isConfigured = await fileAccess(access.keyFile).then(
        () => true,
        () => false,
      );
      if (!isConfigured)
        return { checked: false, reason: `the key ${access.keyFile} does not exist` };
      const connection = await access.connect(host, { signal });
      try {
        await connection.run(deployCommands().reach(), { signal });
      } finally {
        await connection.close();
      }
      return { checked: true, reason: null };
    },
  );
