import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import type { Joined } from "@loom/client";
import { joinedSchema, problemSchema } from "@loom/client/schemas";
import type { Variables } from "@loom/program";
import { digestOf, QueueAccessError } from "@loom/queue";
import { isTailnetAddress } from "@loom/tailscale-resolver";
import { pino } from "pino";
import { identify, queueOf } from "../agent.ts";
import { readEnv } from "../env.ts";
import { JoinError, UsageError } from "../errors.ts";
import {
  dropNextKey,
  keepJoined,
  nextKey,
  readJoined,
  readJoinedKey,
  withJoined,
} from "../joined.ts";
import { stateDir } from "../state-dir.ts";
import type { Command } from "./parse-command.ts";

const TOKEN = /^loomj_[\w-]{43}$/;
const ANSWER_MS = 15_000;
/** How long a hub may be away. It starts in a few seconds. */
const PATIENCE_MS = 60_000;
const PAUSE_MS = 2_000;
/** A clock that is off by more disturbs certificates, and what people read in logs. */
const MAX_SKEW_MS = 5 * 60_000;

/**
 * Makes this machine a node of a hub: makes a key, tells the hub its digest, and keeps what the hub answers.
 *
 * It may be run again at any time. The key is kept before the hub is asked, so a lost answer is asked for again with
 * the same one. A machine that has joined, with a key that is still good, stays as it is.
 *
 * @throws JoinError when the hub refuses or does not answer; `code` says why.
 */
export async function join({ hub, json }: Command, variables: Variables): Promise<void> {
  const url = await readHub(hub ?? "");
  const folder = stateDir(variables);
  const before = readJoined(folder);
  if (before && before.hub.url !== url) {
    throw new JoinError(
      "JOINED_ELSEWHERE",
      `this machine is ${before.node} of the hub at ${before.hub.url}: run loom-agent leave first, or set LOOM_STATE_DIR for a second agent`,
    );
  }
  if (before && readJoinedKey(folder) !== undefined && (await isAccepted(variables))) {
    report({ json }, before, "joined already");
    return;
  }
  const token = await readToken(variables);
  const name = variables.LOOM_NODE_NAME?.trim() || undefined;
  const joined = await ask(url, {
    digest: digestOf(nextKey(folder)),
    ...(token !== undefined && { token }),
    // In the tailnet the hub names the machine, unless a person did.
    ...(token === undefined
      ? name !== undefined && { node: name }
      : { node: name ?? (await ownName(folder)) }),
  }).catch((error: unknown) => {
    if (error instanceof JoinError && error.code === "NODE_KEY_USED") dropNextKey(folder);
    throw error;
  });
  // The address that was asked is one that works from here; the hub may know itself by another one.
  const isThroughHub = joined.database.url === joined.hub.url;
  const kept: Joined = {
    ...joined,
    hub: { ...joined.hub, url },
    database: { ...joined.database, url: isThroughHub ? url : joined.database.url },
  };
  keepJoined(folder, kept);
  report({ json }, kept, "joined");
}

const silent = pino({ level: "silent" });

const ownName = async (folder: string): Promise<string> =>
  (await identify({ LOOM_NODE_NAME: undefined }, { folder, log: silent })).name;

/**
 * Reads the hub's address, and refuses one where others could read along.
 *
 * @throws UsageError | JoinError
 */
async function readHub(given: string): Promise<string> {
  if (!URL.canParse(given)) {
    throw new UsageError("name the hub by its address: loom-agent join http://100.64.0.1:3000");
  }
  const { protocol, hostname, origin, pathname, username, password } = new URL(given);
  if (!/^https?:$/.test(protocol) || username || password || pathname !== "/") {
    throw new UsageError(
      "the hub's address has a scheme, a host and a port, and nothing else: http://100.64.0.1:3000",
    );
  }
  if (protocol === "https:") return origin;
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  const addresses = isIP(host)
    ? [host]
    : await lookup(host, { all: true }).then(
        (found) => found.map(({ address }) => address),
        (error: Error) => {
          throw new JoinError(
            "HUB_UNKNOWN",
            `${host} has no address here (${error.message}): use the hub's address in the tailnet, such as http://100.64.0.1:3000`,
          );
        },
      );
  const isSafe = (address: string) => /^(127\.|::1$)/.test(address) || isTailnetAddress(address);
  if (addresses.every(isSafe)) return origin;
  throw new JoinError(
    "HUB_UNSAFE",
    `${origin} is neither on this machine, nor in the tailnet, nor https, so others could read the key: use the hub's address in the tailnet, or https`,
  );
}

/**
 * The token, from the environment or standard input. Undefined: the machine is one of the tailnet.
 *
 * @throws JoinError `JOIN_TOKEN_REFUSED` for what is no join token.
 */
async function readToken(variables: Variables): Promise<string | undefined> {
  const given =
    variables.LOOM_JOIN_TOKEN?.trim() || (process.stdin.isTTY ? "" : (await readInput()).trim());
  if (given === "" || TOKEN.test(given)) return given || undefined;
  throw new JoinError(
    "JOIN_TOKEN_REFUSED",
    'what was given is not a join token, which is loomj_ and 43 characters: ask the hub for one ("Add a machine")',
  );
}

/** No input is no token. */
const readInput = (): Promise<string> => text(process.stdin).catch(() => "");

/** Whether the hub's database still takes the key of this machine. */
async function isAccepted(variables: Variables): Promise<boolean> {
  try {
    await queueOf(readEnv(withJoined(variables))).describeDatabase();
    return true;
  } catch (error) {
    if (error instanceof QueueAccessError) return false;
    throw new JoinError(
      "HUB_AWAY",
      `this machine has joined, and the database does not say whether its key is still good: ${(error as Error).message}`,
    );
  }
}

/** Asks the hub until it answers, for a minute at most. */
async function ask(hub: string, body: object): Promise<Joined> {
  const deadline = performance.now() + PATIENCE_MS;
  let hasWaited = false;
  for (;;) {
    const answer = await fetch(`${hub}/api/loom/join`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
      redirect: "error",
      signal: AbortSignal.timeout(ANSWER_MS),
    }).catch((error: Error) => error);
    if (answer instanceof Error || answer.status === 429 || answer.status === 503) {
      const why = answer instanceof Error ? reasonOf(answer) : await problemOf(answer);
      if (performance.now() > deadline || (!(answer instanceof Error) && isSettled(why))) {
        throw new JoinError(
          typeof why === "string" ? "HUB_AWAY" : why.code,
          `${hub} ${typeof why === "string" ? `does not answer: ${why}` : `cannot take this machine now: ${why.text}`}. Nothing has changed here; run this again, it goes on with the same key`,
        );
      }
      if (!hasWaited) console.error(`the hub does not answer yet, and is asked for a minute`);
      hasWaited = true;
      await sleep(PAUSE_MS);
      continue;
    }
    warnOfClock(answer);
    if (!answer.ok) {
      const { code, text: said } = await problemOf(answer);
      throw new JoinError(code, `the hub refuses: ${said}`);
    }
    return joinedSchema.parse(await answer.json());
  }
}

/** What asking again will not change. */
const isSettled = (why: string | { code: string }): boolean =>
  typeof why !== "string" && why.code === "JOIN_UNAVAILABLE";

const CLOCK = /CERT_NOT_YET_VALID|CERT_HAS_EXPIRED/;

function reasonOf(error: Error): string {
  const cause = error.cause instanceof Error ? error.cause : error;
  const code = "code" in cause ? String(cause.code) : "";
  return CLOCK.test(code)
    ? `its certificate is not valid at ${new Date().toISOString()}, which this machine takes for now; set the clock: timedatectl set-ntp true`
    : cause.message || code;
}

async function problemOf(answer: Response): Promise<{ code: string; text: string }> {
  const problem = problemSchema.safeParse(await answer.json().catch(() => undefined)).data;
  return problem
    ? { code: problem.code, text: `${problem.detail} (${problem.hint ?? problem.title})` }
    : { code: "NO_HUB", text: `HTTP ${answer.status}, which is not an answer of a Loom hub` };
}

/** Nothing of a join depends on the clock, but logs and certificates do. */
function warnOfClock(answer: Response): void {
  const date = answer.headers.get("date");
  const skewMs = date === null ? 0 : Date.now() - Date.parse(date);
  if (Math.abs(skewMs) <= MAX_SKEW_MS) return;
  const minutes = Math.round(Math.abs(skewMs) / 60_000);
  console.error(
    `this machine's clock is ${minutes} min ${skewMs > 0 ? "ahead of" : "behind"} the hub's: set it, or times in logs will be wrong`,
  );
}

function report({ json }: Pick<Command, "json">, { node, hub }: Joined, what: string): void {
  if (json) console.log(JSON.stringify({ schema: "loom.agent-join/v1", node, hub }));
  else console.log(`${what}  ${hub.url} as ${node}`);
}
