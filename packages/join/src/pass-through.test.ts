import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { makeNodeKey } from "@loom/queue";
import { expect, onTestFinished, test } from "vitest";
import type { JoinHub } from "./join-context.ts";
import { passThroughRoutes } from "./pass-through.ts";

test.for([
  { called: "loom_hello", args: { p_node: "forge" }, wakes: 1 },
  { called: "loom_heartbeat", args: { p_node: "forge", p_epoch: 1 }, wakes: 0 },
  { called: "loom_exchange", args: { p_node: "forge", p_limit: 1 }, wakes: 0 },
  { called: "loom_exchange", args: { p_node: "forge", p_ids: [1], p_fences: [1] }, wakes: 1 },
  { called: "loom_exchange", args: { p_node: "forge", p_items: [] }, wakes: 1 },
])("$called with $args wakes the rounds $wakes times", async ({ called, args, wakes }) => {
  const database = createServer((_, response) => void response.end("{}")).listen(0, "127.0.0.1");
  await new Promise((resolve) => database.once("listening", resolve));
  onTestFinished(() => void database.close());
  let woken = 0;
  const hub: Pick<JoinHub, "join" | "stopping" | "onJobsAdded"> = {
    join: {
      databaseUrl: `http://127.0.0.1:${(database.address() as AddressInfo).port}`,
    } as JoinHub["join"],
    stopping: new AbortController().signal,
    onJobsAdded: () => {
      woken += 1;
    },
  };
  const socket = { remoteAddress: "127.0.0.1", remotePort: 40_000, localAddress: "127.0.0.1" };
  const answer = await passThroughRoutes(hub as JoinHub).request(
    `/rest/v1/rpc/${called}`,
    {
      method: "POST",
      headers: { "x-loom-node-key": makeNodeKey(), "content-type": "application/json" },
      body: JSON.stringify(args),
    },
    { incoming: { socket }, outgoing: {} },
  );
  expect({ status: answer.status, woken }).toEqual({ status: 200, woken: wakes });
});
