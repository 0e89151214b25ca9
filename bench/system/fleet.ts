// Many idle nodes in one process, each with default settings. Arguments: SUPABASE_URL, a key, settings as JSON.
import { createQueue } from "@loom/queue";
import { createInlineRunner, createWorker } from "@loom/worker";
import { createClient } from "@supabase/supabase-js";
import { quiet } from "../quiet.ts";

// This also happens when the parent is killed.
process.once("disconnect", () => process.exit());
const [url = "", key = "", settings = "{}"] = process.argv.slice(2);
const { from, count } = JSON.parse(settings) as { from: number; count: number };
const queue = createQueue({ client: createClient(url, key, { auth: { persistSession: false } }) });
for (let index = from; index < from + count; index += 1) {
  const node = { name: `resting-${index}`, capabilities: ["os=linux", "has-gpu"] };
  const worker = createWorker({
    node,
    queue,
    workflows: [],
    runner: createInlineRunner([]),
    log: quiet,
  });
  void worker.run({ signal: new AbortController().signal });
}
process.send?.({ ready: true });
