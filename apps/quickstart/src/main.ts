import path from "node:path";
import { signRoleKey } from "@loom/local-db";
import { keepAgentKey } from "./agent-key.ts";
import { checkProject } from "./database.ts";
import { makeJoinToken } from "./join-token.ts";
import { runProgram, startPart } from "./parts.ts";
import { printWorkflowProblem, stage } from "./print.ts";
import { readSettings, type Settings } from "./settings.ts";
import { describeRun, runSmoke } from "./smoke.ts";

/** The name of this machine's agent. */
const AGENT = "pop-os";

/** The started parts, in order; they are stopped in reverse. */
const started: { stop(): Promise<unknown> }[] = [];
const stopping = new AbortController();

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.on(signal, () => stopping.abort());
}

async function main(): Promise<void> {
  const settings = readSettings(process.env);
  const logDir = path.join(settings.dataDir, "logs");
  const { supabase, dataDir, token } = settings;
  if (supabase) {
    await stage(
      "database",
      () => checkProject(supabase),
      () => `the Supabase project at ${supabase.url}`,
    );
  }
  // First: the hub reads the page when it starts.
  await stage(
    "dashboard",
    () => runProgram("@loom/dashboard/build/main"),
    (result) => result,
  );
  // Beside an agent of this machine, or of another clone, they are ones of their own.
  const base = {
    ...process.env,
    LOOM_DATA_DIR: dataDir,
    LOOM_STATE_DIR: process.env.LOOM_STATE_DIR?.trim() || path.join(dataDir, "state"),
  };

  // A hub that is started again is at the same address.
  let port = process.env.PORT;
  const isOpen = Promise.withResolvers<void>();
  const isOnTailnet = Promise.withResolvers<void>();
  const starting = startPart({
    name: "hub",
    app: "@loom/hub/main",
    ready: "listening",
    logDir,
    env: () => ({
      ...base,
      PORT: port,
      LOOM_TOKEN: token,
      LOOM_NODE_NAME: process.env.LOOM_NODE_NAME?.trim() || "oracle",
    }),
    onFacts(facts) {
      printWorkflowProblem(facts);
      if (facts.msg === "database open") isOpen.resolve();
      if (facts.msg === "a part of the database ended") {
        const { part, reason, retryMs } = facts as Record<"part" | "reason", string> & {
          retryMs: number;
        };
        reportRestarts(part, path.join(dataDir, "postgres")).onEnd({ reason, retryMs });
      }
      if (facts.msg === "a part of the database is back") reportRestarts(`${facts.part}`).onBack();
      if (facts.msg === "listening on the tailnet") isOnTailnet.resolve();
      if (String(facts.msg).startsWith("waiting for Tailscale")) {
        console.log(`${facts.msg} (${facts.reason})`);
      }
    },
    ...reportRestarts("hub", path.join(logDir, "hub.log")),
  });
  starting.catch(isOpen.reject);
  // The hub brings its database, and starts its parts again itself.
  if (!supabase) {
    await stage(
      "database",
      () => isOpen.promise,
      () => `private Postgres and PostgREST, data in ${dataDir}`,
    );
  }
  const hub = await stage(
    "hub",
    () => starting,
    ({ facts }) => `${facts.url}, working as its own node`,
  );
  started.push(hub);
  const hubUrl = String(hub.facts.url);
  port = new URL(hubUrl).port || port;
  const declared = process.env.LOOM_CAPABILITIES?.trim();
  const agent = await stage(
    "agent",
    async () => {
      const access = await openAgentAccess({ settings, hubUrl });
      return startPart({
        name: "agent",
        app: "@loom/node-agent/main",
        ready: "agent started",
        logDir,
        env: () => ({
          ...base,
          ...access,
          SUPABASE_URL: supabase?.url ?? String(hub.facts.embedded),
          LOOM_NODE_NAME: AGENT,
          LOOM_HUB_URL: hubUrl,
          // It runs what this hub has signed, and needs no workflow files.
          LOOM_CODE_KEY: String(hub.facts.codeKey),
          LOOM_CAPABILITIES: ["has-gpu", ...(declared ? [declared] : [])].join(","),
          LOOM_SLOTS: process.env.LOOM_SLOTS?.trim() || "2",
          ...(process.env.POLL_INTERVAL_MS && { POLL_INTERVAL_MS: process.env.POLL_INTERVAL_MS }),
        }),
        ...reportRestarts("agent", path.join(logDir, "agent.log")),
      });
    },
    () => "pop-os, offering has-gpu (declared for the demo, whether or not this machine has a GPU)",
  );
  started.push(agent);

  const run = await stage(
    "smoke run",
    () => runSmoke({ url: hubUrl, token: settings.token }, { signal: stopping.signal }),
    ({ status }) => `cross-node-smoke ${status}`,
  );
  console.log(`\n${describeRun(run)}\n`);
  console.log(
    `token  ${settings.tokenFile ? `${settings.token}  (kept in ${settings.tokenFile})` : "the one in LOOM_TOKEN"}`,
  );
  console.log(`logs   ${logDir}`);
  console.log(
    `again  curl -X POST ${hubUrl}/api/loom/strands/cross-node-smoke/run -H "Authorization: Bearer ${settings.tokenFile ? settings.token : "$LOOM_TOKEN"}"`,
  );
  // With LOOM_BIND=tailnet; Tailscale may still be starting.
  void isOnTailnet.promise.then(() =>
    makeJoinToken({ url: hubUrl, token }).then(
      ({ line }) => console.log(`join   ${line}\n       (one machine, within 15 minutes)`),
      (error: Error) => console.log(`join   there is no line for other machines: ${error.message}`),
    ),
  );
  console.log(`ready ${hubUrl}`);
  // The newcomer's next step: docs/cli.md has a command for each thing that one does every day.
  console.log(
    settings.tokenFile
      ? `loom   npm run loom -- login ${hubUrl} < ${settings.tokenFile}`
      : `loom   echo "$LOOM_TOKEN" | npm run loom -- login ${hubUrl}`,
  );

  await aborted(stopping.signal);
}

/**
 * What the agent shows the database: a key of its own, beside the key that every agent has. Only in a project whose
 * publishable key is not known here it has to use the project's secret key, and says so in its log.
 */
async function openAgentAccess({
  settings: { supabase, dataDir, token },
  hubUrl,
}: {
  settings: Settings;
  hubUrl: string;
}): Promise<NodeJS.ProcessEnv> {
  const publishableKey = supabase ? supabase.publishableKey : await signRoleKey(dataDir, "anon");
  if (supabase && publishableKey === undefined) return { SUPABASE_SERVICE_ROLE_KEY: supabase.key };
  const file = path.join(dataDir, "agent-key");
  await keepAgentKey({ url: hubUrl, token }, { node: AGENT, file });
  return {
    SUPABASE_PUBLISHABLE_KEY: publishableKey,
    LOOM_NODE_KEY_FILE: file,
    // These can do everything, and are none of its business.
    SUPABASE_SECRET_KEY: undefined,
    SUPABASE_SERVICE_ROLE_KEY: undefined,
    DATABASE_URL: undefined,
    LOOM_TOKEN: undefined,
    OPTIMALOS_TOKEN: undefined,
  };
}

/** One line for a part that was lost, and one when it is back. */
const reportRestarts = (part: string, log?: string) => ({
  onEnd: ({ reason, retryMs }: { reason: string; retryMs: number }) =>
    console.log(
      `${part} ended (${reason}) and is started again in ${retryMs / 1_000} s${log ? `; see ${log}` : ""}`,
    ),
  onBack: () => console.log(`${part} is back`),
});

const aborted = (signal: AbortSignal): Promise<undefined> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve(undefined);
    signal.addEventListener("abort", () => resolve(undefined), { once: true });
  });

try {
  await main();
} catch (error) {
  if (!stopping.signal.aborted) {
    console.error(error instanceof Error ? `\n${error.message}` : error);
    process.exitCode = 1;
  }
}
if (stopping.signal.aborted) console.log("\nstopping …");
// Agents first, so that they can give back what they hold; the database last.
for (const part of started.reverse()) await part.stop();
