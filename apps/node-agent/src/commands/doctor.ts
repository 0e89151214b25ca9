import { stat, statfs } from "node:fs/promises";
import { NodeNotFoundError } from "@loom/queue";
import { type ProbeReport, runProbe } from "@loom/worker";
import { findAgent } from "../control/control-client.ts";
import { type Env, EnvError, readEnv } from "../env.ts";
import { keyFileOf, withNodeKey } from "../node-key.ts";
import { agentProbes } from "../start-agent.ts";
import { makeStateDir, stateDir } from "../state-dir.ts";
import type { Command } from "./parse-command.ts";
import { nodeName, queueOf, readWorkflows, resolver } from "./start.ts";

/** One thing that a person would look at. */
interface Check {
  name: string;
  result: "ok" | "warn" | "fail";
  detail: string;
  /** What to do about it. */
  fix?: string;
}

type Variables = Readonly<Record<string, string | undefined>>;
type Outcome = Omit<Check, "name">;

const ok = (detail: string): Outcome => ({ result: "ok", detail });
const warn = (detail: string, fix: string): Outcome => ({ result: "warn", detail, fix });
const fail = (detail: string, fix: string): Outcome => ({ result: "fail", detail, fix });

const MAX_SKEW_MS = 2_000;
const KEY_EXPIRES_SOON_MS = 14 * 86_400_000;

/**
 * Checks what a person would check, and prints each with what to do about it.
 *
 * @returns Whether nothing failed.
 */
export async function doctor({ json }: Command, variables: Variables): Promise<boolean> {
  const checks: Check[] = [];
  const check = async (name: string, look: () => Promise<Outcome> | Outcome) => {
    const outcome = await Promise.resolve()
      .then(look)
      .catch((error: Error) => fail(error.message, "see the message"));
    checks.push({ name, ...outcome });
  };

  let env: Env | undefined;
  await check("settings", () => {
    try {
      env = readEnv(withNodeKey(variables));
      return env.isServiceKey
        ? warn("the key can do everything", "give this node a key of its own: LOOM_NODE_KEY")
        : ok("complete");
    } catch (error) {
      if (!(error instanceof EnvError)) throw error;
      return fail(error.message, "set these variables; the README describes them");
    }
  });
  await check("key file", () => checkKeyFile(variables));
  if (env) {
    const known = env;
    await check("database", () => checkDatabase(known));
    await check("clock", () => checkClock(known));
    await check("workflows", () => checkWorkflows(known));
  }
  await check("tailnet", checkTailnet);
  await check("agent", () =>
    findAgent(variables, env?.LOOM_NODE_NAME).then(
      (socket) => ok(`answers at ${socket}`),
      (error: Error) => warn(error.message, "loom-agent start, or loom-agent install"),
    ),
  );
  const folder = stateDir(variables);
  await check("state", async () => {
    makeStateDir(folder);
    const { bavail, bsize } = await statfs(folder);
    const megabytes = Math.floor((bavail * bsize) / 2 ** 20);
    return megabytes < 1_024
      ? warn(
          `${megabytes} MiB free at ${folder}`,
          "make room: results are kept there while the database is away",
        )
      : ok(`${folder}, ${megabytes} MiB free`);
  });

  const probes = env
    ? await Promise.all(
        agentProbes({ env, resolver, stateDir: folder, variables }).map((probe) => runProbe(probe)),
      )
    : [];
  const isWell = checks.every(({ result }) => result !== "fail");
  if (json)
    console.log(JSON.stringify({ schema: "loom.agent-doctor/v1", ok: isWell, checks, probes }));
  else for (const line of [...checks.flatMap(toLines), ...probes.map(toLine)]) console.log(line);
  return isWell;
}

async function checkKeyFile(variables: Variables): Promise<Outcome> {
  const file = keyFileOf(variables);
  if (!file) return ok("not used");
  const mode = (await stat(file)).mode & 0o777;
  return mode & 0o077
    ? fail(`others may read ${file} (mode ${mode.toString(8)})`, `chmod 600 ${file}`)
    : ok(file);
}

async function checkDatabase(env: Env): Promise<Outcome> {
  const name = await nodeName(env);
  const nodes = await queueOf(env).listNodes();
  const node = nodes.find((each) => each.name === name);
  if (!node) return warn(new NodeNotFoundError(name).message, "loom-agent start");
  const seen = node.lastSeenMs === null ? "never" : `${Math.round(node.lastSeenMs / 1_000)} s ago`;
  return ok(`${name} is ${node.status}, ${node.online ? "online" : "offline"}, seen ${seen}`);
}

async function checkClock({ SUPABASE_URL }: Env): Promise<Outcome> {
  const response = await fetch(SUPABASE_URL, {
    method: "HEAD",
    signal: AbortSignal.timeout(3_000),
  });
  const date = response.headers.get("date");
  if (!date) return ok("the API tells no time");
  // The header has whole seconds, cut off.
  const skewMs = Math.max(0, Math.abs(Date.now() - Date.parse(date) - 500) - 500);
  return skewMs > MAX_SKEW_MS
    ? warn(
        `${Math.round(skewMs / 1_000)} s off the API's clock`,
        "let the clock be set: timedatectl set-ntp true",
      )
    : ok("within 2 s of the API's");
}

async function checkWorkflows({ LOOM_WORKFLOWS_DIR }: Env): Promise<Outcome> {
  const { workflows, problems } = await readWorkflows(LOOM_WORKFLOWS_DIR);
  const names = workflows.map(({ name }) => name).join(", ");
  return problems.length > 0
    ? fail(
        problems.map(({ file, problem }) => `${file}: ${problem}`).join("; "),
        "mend these files",
      )
    : ok(names || "none");
}

async function checkTailnet(): Promise<Outcome> {
  try {
    const { fqdn, ip, keyExpiresAt } = await resolver.self();
    const leftMs = keyExpiresAt ? keyExpiresAt.getTime() - Date.now() : Number.POSITIVE_INFINITY;
    return leftMs < KEY_EXPIRES_SOON_MS
      ? warn(
          `${fqdn}: its key expires at ${keyExpiresAt?.toISOString()}`,
          "tailscale login, or disable the key's expiry",
        )
      : ok(`${fqdn}, ${ip ?? "no IPv4"}`);
  } catch (error) {
    return warn(
      `${(error as Error).message}: only this machine can ring the doorbell`,
      "start Tailscale and log in; without it the agent polls",
    );
  }
}

const toLines = ({ name, result, detail, fix }: Check): string[] => [
  `${result.padEnd(5)} ${name}: ${detail}`,
  ...(fix ? [`      → ${fix}`] : []),
];

const toLine = ({ name, result, evidence, tookMs }: ProbeReport): string =>
  `probe ${name}: ${result}, ${evidence} (${tookMs} ms)`;
