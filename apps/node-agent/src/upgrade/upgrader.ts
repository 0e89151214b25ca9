import { setTimeout as sleep } from "node:timers/promises";
import type { Log } from "@loom/worker";
import { UpgradeError } from "../errors.ts";
import { type AgentSource, askForAgent, installAgent } from "./fetch-agent.ts";
import type { Installation } from "./installation.ts";
import { readMarker, writeMarker } from "./marker.ts";

const HOUR_MS = 3_600_000;

/** What an agent that came from a hub says of itself. The order that it names is carried out. */
interface AgentFacts {
  digest: string;
  sequence: number;
  order?: string;
  /** Until when it waits for the end of what runs, if it does. */
  drainsUntil?: string;
  /** Why it did not take the agent with this digest. */
  problem?: { digest?: string; code: string; message: string };
}

/** Takes the hub's agent when that is asked for. */
export interface Upgrader {
  facts(): AgentFacts;
  /** Carries out an order once, however often it comes. */
  onOrder(order: string): void;
  /** Says that the trial of this agent is over. */
  passed(): void;
  /** Looks for a new agent now and each hour, until the signal aborts. */
  follow(signal: AbortSignal): Promise<void>;
}

/**
 * @param options.source - The hub; undefined where this machine did not join one that signs.
 * @param options.drain - Takes no more work, and resolves when what runs has ended, or was given back after `drainMs`.
 * @param options.drainMs - How long what runs may go on.
 * @param options.onReady - Called when the new agent is in its place, nothing runs, and the trial may begin.
 * @param options.onDrain - Called when it begins to wait for the end of what runs, and the facts say so.
 * @param options.onFacts - Called when an upgrade is over, and the facts have changed.
 * @param options.signal - Ends what it does, when the agent stops.
 */
export function createUpgrader({
  installed,
  source,
  stateDir,
  drain,
  drainMs,
  onDrain,
  onReady,
  onFacts,
  signal,
  log,
}: {
  installed: Installation;
  source: AgentSource | undefined;
  stateDir: string;
  drain: (options: { withinMs: number }) => Promise<void>;
  drainMs: number;
  onDrain: () => void;
  onReady: () => void;
  onFacts: () => void;
  signal: AbortSignal;
  log: Log;
}): Upgrader {
  let { order, problem } = lastOf(stateDir, installed);
  let drainsUntil: string | undefined;
  let isBusy = false;

  /** @returns Whether the new agent is on trial from now on. */
  async function upgrade(asked: string | null): Promise<boolean> {
    if (!source) {
      throw new UpgradeError(
        "AGENT_UNKNOWN_KEY",
        "this machine does not know its hub's key, so it cannot check the hub's agent: let it join again",
      );
    }
    const offer = await askForAgent(source, signal);
    const { digest, version } = offer;
    if (digest === installed.digest) return false;
    // What failed here is not tried again by itself.
    if (asked === null && problem?.digest === digest) return false;
    await installAgent(offer, { source, installed, signal });
    drainsUntil = new Date(Date.now() + drainMs).toISOString();
    log.info(
      { version, digest, drainsUntil },
      "a new agent is here: finishing what runs, claiming nothing more",
    );
    onDrain();
    await drain({ withinMs: drainMs });
    signal.throwIfAborted();
    writeMarker(stateDir, {
      ...{ state: "trial", order: asked, from: installed.digest, to: digest },
      ...{ startedAt: new Date().toISOString(), tries: 0 },
    });
    onReady();
    return true;
  }

  async function run(asked: string | null): Promise<void> {
    if (isBusy) return;
    isBusy = true;
    try {
      if (await upgrade(asked)) return;
      if (asked !== null) problem = undefined;
    } catch (error) {
      if (signal.aborted) return;
      const { code, message } =
        error instanceof UpgradeError
          ? error
          : { code: "AGENT_UNUSABLE", message: (error as Error).message };
      log.error({ code }, message);
      problem = { code, message };
    } finally {
      drainsUntil = undefined;
      isBusy = false;
    }
    if (asked !== null) order = asked;
    onFacts();
  }

  return {
    facts: () => ({
      ...{ digest: installed.digest, sequence: installed.sequence },
      ...(order !== undefined && { order }),
      ...(drainsUntil !== undefined && { drainsUntil }),
      ...(problem && { problem }),
    }),
    onOrder(asked) {
      if (asked !== order) void run(asked);
    },
    passed() {
      ({ order, problem } = lastOf(stateDir, installed));
      onFacts();
    },
    async follow(until) {
      while (!until.aborted) {
        await run(null);
        await sleep(HOUR_MS, undefined, { signal: until }).catch(() => {});
      }
    },
  };
}

/** How the last upgrade of this agent ended, as its facts say it after a start. */
function lastOf(
  stateDir: string,
  { digest }: Installation,
): { order: string | undefined; problem: AgentFacts["problem"] } {
  const last = readMarker(stateDir);
  if (last?.state === "failed" && last.from === digest && last.problem) {
    return { order: last.order ?? undefined, problem: { digest: last.to, ...last.problem } };
  }
  const isDone = last?.state === "done" && last.to === digest;
  return { order: isDone ? (last.order ?? undefined) : undefined, problem: undefined };
}
