// A node that tells its parent what it has settled. Its arguments: SUPABASE_URL, a key, JSON settings.
import { createQueue } from "@loom/queue";
import {
  createInlineRunner,
  createProcessRunner,
  createRingBack,
  createRinger,
  createWorker,
  importWorkflows,
  keepDoorbell,
} from "@loom/worker";
import { createClient } from "@supabase/supabase-js";
import { quiet } from "../quiet.ts";

// Also when the parent is killed.
process.once("disconnect", () => process.exit());
const [url = "", key = "", settings = "{}"] = process.argv.slice(2);
const { nodes, doorbell } = JSON.parse(settings) as { nodes: string[]; doorbell: boolean };
const signal = new AbortController().signal;
const { workflows, modules } = await importWorkflows([
  new URL("workflow.ts", import.meta.url).href,
]);

for (const name of nodes) {
  const queue = createQueue({
    client: createClient(url, key, { auth: { persistSession: false } }),
  });
  const ringBack = createRingBack(createRinger({ log: quiet }));
  const worker = createWorker({
    node: { name, capabilities: ["has-bell"] },
    queue,
    workflows,
    // A hundred nodes that start a process each would show that, and not how they poll.
    runner: doorbell ? createProcessRunner({ modules, env: process.env }) : createInlineRunner(),
    log: quiet,
    onSettled: () => {
      ringBack.ring();
      process.send?.({ settled: name });
    },
  });
  await keepDoorbell(
    {
      setting: doorbell ? { address: "127.0.0.1", port: 0 } : "off",
      ownAddress: async () => undefined,
      log: quiet,
      onRing: (hub) => {
        ringBack.remember(hub);
        worker.ring();
      },
      onOpen: ({ address, port }) => worker.report({ tailnetAddress: address, doorbellPort: port }),
    },
    { signal },
  );
  void worker.run({ signal });
}
process.send?.({ ready: true });
