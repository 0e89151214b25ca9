// Nodes that report each settled job to the parent process. Arguments: SUPABASE_URL, a key, settings as JSON.
import { createQueue } from "@loom/queue";
import {
  createInlineRunner,
  createProcessRunner,
  createReplyWaker,
  createWakeClient,
  createWorker,
  keepWakeServer,
  ownCode,
} from "@loom/worker";
import { createClient } from "@supabase/supabase-js";
import { quiet } from "../quiet.ts";
import { workflows } from "./workflow.ts";

// This also happens when the parent is killed.
process.once("disconnect", () => process.exit());
const [url = "", key = "", settings = "{}"] = process.argv.slice(2);
const { nodes, wakeServer } = JSON.parse(settings) as { nodes: string[]; wakeServer: boolean };
const signal = new AbortController().signal;
const { href: module } = new URL("workflow.ts", import.meta.url);
const modules = new Map(workflows.map(({ name }) => [name, { url: module }]));

for (const name of nodes) {
  const queue = createQueue({
    client: createClient(url, key, { auth: { persistSession: false } }),
  });
  const replyPort = createReplyWaker(createWakeClient({ log: quiet }));
  const worker = createWorker({
    node: { name, capabilities: ["has-wake-server"] },
    queue,
    workflows,
    // With a process for each of a hundred polling nodes, the start of processes would dominate.
    runner: wakeServer
      ? createProcessRunner({ code: ownCode(modules), env: process.env })
      : createInlineRunner(workflows),
    log: quiet,
    onSettled: () => {
      replyPort.wake();
      process.send?.({ settled: name });
    },
  });
  await keepWakeServer(
    {
      setting: wakeServer ? { address: "127.0.0.1", port: 0 } : "off",
      ownAddress: async () => undefined,
      log: quiet,
      onWake: (hub) => {
        replyPort.remember(hub);
        worker.wake();
      },
      onOpen: ({ address, port }) => worker.report({ tailnetAddress: address, wakePort: port }),
    },
    { signal },
  );
  void worker.run({ signal });
}
process.send?.({ ready: true });
