// An agent called forge as a process of its own: `node agent.ts <JSON of AgentSettings>`. Its log is
// one line of JSON each on standard output.
import { createQueue } from "@loom/queue";
import {
  createProcessRunner,
  createWorker,
  type Log,
  loadWorkflows,
  openJournal,
} from "@loom/worker";
import { createClient } from "@supabase/supabase-js";

export interface AgentSettings {
  url: string;
  key: string;
  journal: string;
  leaseMs: number;
  concurrency: number;
  /** When to give an answer of the database up; default as the queue's. */
  timeoutMs?: number;
}

const settings = JSON.parse(process.argv[2] ?? "") as AgentSettings;

const at = (level: string) => (facts: object | string, message?: string) => {
  const [rest, text] = typeof facts === "string" ? [{}, facts] : [facts, message];
  console.log(JSON.stringify({ level, message: text, ...rest }));
};
const log: Log & ReturnType<Log["child"]> = {
  debug: at("debug"),
  info: at("info"),
  warn: at("warn"),
  error: at("error"),
  child: () => log,
};

const client = createClient(settings.url, settings.key, {
  auth: { persistSession: false, autoRefreshToken: false },
});
const { workflows, modules } = await loadWorkflows(`${import.meta.dirname}/../workflows`);
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
const worker = createWorker({
  node: { name: "forge", capabilities: [] },
  queue: createQueue({ client, ...(settings.timeoutMs && { timeoutMs: settings.timeoutMs }) }),
  workflows,
  runner: createProcessRunner({ modules, env: { PATH: process.env.PATH } }),
  journal: await openJournal(settings.journal, { log }),
  log,
  leaseMs: settings.leaseMs,
  concurrency: settings.concurrency,
  pollMs: 50,
  graceMs: 0,
});
await worker.run({ signal: stop.signal });
