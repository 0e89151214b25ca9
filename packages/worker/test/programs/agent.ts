// An agent called forge as a process of its own: `node agent.ts <JSON of AgentSettings>`. Its log is
// one line of JSON each on standard output.
import { pathToFileURL } from "node:url";
import { digestOf } from "@loom/code";
import { createQueue } from "@loom/queue";
import {
  createProcessRunner,
  createWorker,
  findWorkflowFiles,
  type Log,
  openJournal,
  ownCode,
  readWorkflows,
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
const { PATH, NODE_COMPILE_CACHE } = process.env;
const env = { PATH, NODE_COMPILE_CACHE };
const { workflows, modules } = await readWorkflows({
  modules: await findWorkflowFiles(`${import.meta.dirname}/../workflows`),
  // The files as they are: what is tested here is the agent, and not how code becomes a bundle.
  code: {
    async bundle(file) {
      const digest = digestOf(file);
      return { digest, url: pathToFileURL(file).href, externals: [], inputs: [file] };
    },
    toAuthor: async (text) => text,
  },
  env,
  log,
});
const stop = new AbortController();
process.once("SIGTERM", () => stop.abort());
const worker = createWorker({
  node: { name: "forge", capabilities: [] },
  queue: createQueue({ client, ...(settings.timeoutMs && { timeoutMs: settings.timeoutMs }) }),
  workflows,
  runner: createProcessRunner({ code: ownCode(modules), env }),
  journal: await openJournal(settings.journal, { log }),
  log,
  leaseMs: settings.leaseMs,
  concurrency: settings.concurrency,
  pollMs: 50,
  graceMs: 0,
});
await worker.run({ signal: stop.signal });
