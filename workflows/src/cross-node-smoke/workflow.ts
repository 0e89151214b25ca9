import { access as fileAccess } from "node:fs/promises";
import { cron, defineWorkflow, NonRetryableError } from "@loom/workflow";
import { z } from "zod";
import { deployCommands } from "../popos-deploy/commands.ts";
import { readSshAccess } from "../ssh/access.ts";

/**
 * Proves that two machines work as one: a step on the hub, a step on another node,
 * and a check that they really were two, with the time it took there and back. Where the
 * hub has the key for deploys, the other node has to be reachable with it.
 */
export const crossNodeSmoke = defineWorkflow({
  name: "cross-node-smoke",
  schedule: cron("*/15 * * * *"),
  input: z.object({
    /** The node for the remote step. Default: `pop-os` if it is there, else any other node. */
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
      // Both times are a hub's; with several hubs they are two machines' clocks.
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
      if (!isConfigured) return { checked: false, reason: `there is no key ${access.keyFile}` };
      const connection = await access.connect(host, { signal });
      try {
        await connection.run(deployCommands().reach(), { signal });
      } finally {
        await connection.close();
      }
      return { checked: true, reason: null };
    },
  );
