import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { stat, statfs } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { EnvError } from "@loom/program";
import { NodeNotFoundError } from "@loom/queue";
import { type ProbeReport, runProbe, workflowProblemTitle } from "@loom/worker";
import { pino } from "pino";
import { agentProbes, identify, loadWorkflows, queueOf, resolver } from "../agent.ts";
import { ask, findAgent } from "../control/control-client.ts";
import { type Env, KEY_ADVICE, keyFileOf, readEnv, withNodeKey } from "../env.ts";
import { joinedKeyFile, readJoined, withJoined } from "../joined.ts";
import { makeStateDir, stateDir } from "../state-dir.ts";
import type { Command } from "./parse-command.ts";

/** The result of one check. */
interface AgentCheck {
  name: string;
  result: "ok" | "warn" | "fail";
  detail: string;
  /** What to do about it. */
  fix?: string;
}

type Variables = Readonly<Record<string, string | undefined>>;
type CheckOutcome = Omit<AgentCheck, "name">;

const ok = (detail: string): CheckOutcome => ({ result: "ok", detail });
const warn = (detail: string, fix: string): CheckOutcome => ({ result: "warn", detail, fix });
const fail = (detail: string, fix: string): CheckOutcome => ({ result: "fail", detail, fix });

/** Discards log lines: the agent itself logs them. */
const silent = pino({ level: "silent" });

const MAX_SKEW_MS = 2_000;
const KEY_EXPIRES_SOON_MS = 14 * 86_400_000;

/**
 * Checks what a person would check, and prints each with what to do about it.
 *
 * @returns Whether nothing failed.
 */
export async function doctor({ json }: Command, variables: Variables): Promise<boolean> {
  const checks: AgentCheck[] = [];
  const check = async (name: string, run: () => Promise<CheckOutcome> | CheckOutcome) => {
    const outcome = await Promise.resolve()
      .then(run)
      .catch((error: Error) => fail(error.message, "see the message"));
    checks.push({ name, ...outcome });
  };

  let env: Env | undefined;
  await check("settings", () => {
    try {
      env = readEnv(withJoined(withNodeKey(variables)));
      return env.database.nodeKey === undefined
        ? warn("the service key can do everything", KEY_ADVICE)
        : ok("complete");
    } catch (error) {
      if (!(error instanceof EnvError)) throw error;
      return fail(error.message, "set these variables; the README describes them");
    }
  });
  await check("key file", () => checkKeyFile(variables));
  if (env) {
    const known = env;
    await check("database", () => checkDatabase(known, stateDir(variables)));
    await check("clock", () => checkClock(known));
    await check("workflows", () => checkWorkflows(known, variables));
  }
  await check("tailnet", checkTailnet);
  await check("agent", () =>
    findAgent(variables, env?.LOOM_NODE_NAME).then(checkAgent, (error: Error) =>
      warn(error.message, "loom-agent start, or loom-agent install"),
    ),
  );
  await check("processes", checkReaper);
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

async function checkKeyFile(variables: Variables): Promise<CheckOutcome> {
  const folder = stateDir(variables);
  const file = keyFileOf(variables) ?? (readJoined(folder) && joinedKeyFile(folder));
  if (!file) return ok("not used");
  const mode = (await stat(file)).mode & 0o777;
  return mode & 0o077
    ? fail(`others may read ${file} (mode ${mode.toString(8)})`, `chmod 600 ${file}`)
    : ok(file);
}

async function checkDatabase(env: Env, folder: string): Promise<CheckOutcome> {
  const { name } = await identify(env, { folder, log: silent });
  const node = await queueOf(env).describeNode(name);
  if (!node) return warn(new NodeNotFoundError(name).message, "loom-agent start");
  if (node.askedCapabilities.length > 0) {
    return warn(
      `the key of ${name} does not allow it to offer ${node.askedCapabilities.join(", ")}`,
      "allow that in the dashboard, or take it out of LOOM_CAPABILITIES and LOOM_PROBE_*",
    );
  }
  const seen = node.lastSeenMs === null ? "never" : `${Math.round(node.lastSeenMs / 1_000)} s ago`;
  return ok(`${name} is ${node.status}, ${node.online ? "online" : "offline"}, seen ${seen}`);
}

async function checkAgent(socket: string): Promise<CheckOutcome> {
  const { fault } = (await ask(socket, "GET", "/status")) as { fault: { reason: string } | null };
  return fault === null
    ? ok(`answers at ${socket}`)
    : fail(fault.reason, "fix that; the agent tries again by itself, at most once a minute");
}

async function checkReaper(): Promise<CheckOutcome> {
  if (process.platform !== "linux") return ok("not looked at on this system");
  return (await hasReaper())
    ? ok("what is left behind is cleared away when it ends")
    : warn(
        "the first process here (PID 1) does not clear away ended processes: what steps leave behind stays on the list until it is full",
        "give the container a first process that does: docker run --init, or init: true in a compose file",
      );
}

async function checkClock({ SUPABASE_URL }: Env): Promise<CheckOutcome> {
  const response = await fetch(SUPABASE_URL, {
    method: "HEAD",
    signal: AbortSignal.timeout(3_000),
  });
  const date = response.headers.get("date");
  if (!date) return ok("the API sends no Date header");
  // The header has whole seconds, cut off.
  const skewMs = Math.max(0, Math.abs(Date.now() - Date.parse(date) - 500) - 500);
  return skewMs > MAX_SKEW_MS
    ? warn(
        `${Math.round(skewMs / 1_000)} s off the API's clock`,
        "let the clock be set: timedatectl set-ntp true",
      )
    : ok("within 2 s of the API's");
}

async function checkWorkflows(env: Env, variables: Variables): Promise<CheckOutcome> {
  const { workflows, problems } = await loadWorkflows(env, {
    variables,
    stateDir: stateDir(variables),
    log: silent,
  });
  const names = workflows.map(({ name }) => name).join(", ");
  return problems.length > 0
    ? fail(
        problems.map(workflowProblemTitle).join("; "),
        problems.map(({ file, fix }) => fix ?? `fix ${file}`).join("; "),
      )
    : ok(names || "none");
}

async function checkTailnet(): Promise<CheckOutcome> {
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
      `${(error as Error).message}: only this machine can wake the agent`,
      "start Tailscale and log in; without it the agent polls",
    );
  }
}

const toLines = ({ name, result, detail, fix }: AgentCheck): string[] => [
  `${result.padEnd(5)} ${name}: ${detail}`,
  ...(fix ? [`      → ${fix}`] : []),
];

const toLine = ({ name, result, evidence, tookMs }: ProbeReport): string =>
  `probe ${name}: ${result}, ${evidence} (${tookMs} ms)`;

const REAPER_POLL_MS = 50;
const REAPER_MS = 5_000;

/** Leaves an orphan to the process that takes orphans on this machine, and prints its number. */
const ORPHAN = ["-c", "sleep 0.05 >/dev/null 2>&1 & echo $!"];

/**
 * Whether this machine reaps orphans that have ended. The first process of many containers does not,
 * so that the orphans of steps fill the table of processes over time.
 */
async function hasReaper(): Promise<boolean> {
  const { stdout } = await promisify(execFile)("/bin/sh", ORPHAN);
  const pid = Number(stdout);
  for (let waitedMs = 0; waitedMs < REAPER_MS; waitedMs += REAPER_POLL_MS) {
    if (!isListed(pid)) return true;
    await sleep(REAPER_POLL_MS);
  }
  return false;
}

function isListed(pid: number): boolean {
  try {
    readFileSync(`/proc/${pid}/stat`);
    return true;
  } catch {
    return false;
  }
}
