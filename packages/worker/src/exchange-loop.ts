// What a worker says to its queue, and when: one loop, which makes one call for all that there is to say.
import { QueueUnavailableError } from "@loom/queue";
import type { SentAnswer, SentOutcome } from "./attempt.ts";
import type { Log } from "./log.ts";
import { pollDelayMs, reconnectDelayMs, repeat } from "./loop.ts";
import type { LeaseClock, NodeSession, SessionAnswer } from "./session.ts";
import { SupersededError } from "./session.ts";
import { createWaker } from "./wait.ts";

/** Every placed job may bring a wake-up. It causes at most 20 heartbeats a second. */
const RENEW_SPACING_MS = 50;

/** What ends within this time of a call under way is the same moment: it may wait for the next call. */
const SAME_MOMENT_MS = 5;

/** The same for a worker that prefetches: it waits for a call under way, because its slots do not. */
const BATCH_MOMENT_MS = 200;

/** Outcomes share a call up to this length of their results and output, in UTF-16 units. */
const SHARED_LENGTH = 262_144;
const SHARED_OUTCOMES = 500;

/** The longest timer that there is. */
const UNTIL_WOKEN_MS = 2 ** 31 - 1;

/**
 * The loop that makes a worker's calls. A call settles what has ended, claims what the free slots may take, and renews
 * the lease when that is due.
 *
 * - Calls that claim or renew are made one after the other, so an answer is acted on before the next question.
 * - An outcome that is there while a call is under way waits for it, but only for a moment. Then it goes by itself.
 * - A call whose answer was lost is made again, with the same number of its claim and at least the same outcomes.
 */
export interface ExchangeLoop {
  /**
   * Sends an outcome until the database answers.
   *
   * @returns undefined when the loop ended before.
   * @throws What the queue throws for this outcome, except QueueUnavailableError.
   */
  send(outcome: SentOutcome): Promise<SentAnswer | undefined>;
  /** Claims soon, if a slot is free. */
  claim(): void;
  /** Renews the lease soon, which also brings the node's orders. */
  renew(): void;
  /** Renews the lease, and resolves when the answer was acted on. Fails as the call does. */
  confirm(): Promise<void>;
  /** Resolves when the calls that were begun have been answered. Never fails. */
  answered(): Promise<void>;
  /** Makes one round of calls. */
  once(): Promise<void>;
  /** Makes calls until the signal aborts. Then outcomes that were not answered are given up. */
  run(options: { signal: AbortSignal }): Promise<void>;
}

export interface ExchangeLoopOptions {
  session: Pick<NodeSession, "isOpen" | "exchange">;
  node: string;
  clock: LeaseClock;
  heartbeatMs: number;
  pollMs: number;
  maxPollMs: number;
  /** Whether outcomes wait for the call under way, to be settled in batches. */
  isBatching: boolean;
  log: Log;
  /** Opens the session and reports what the node offers. It is called only while the worker may claim. */
  open: () => Promise<void>;
  /** `all`; `stopping`: does not claim; `refused`: does not claim nor renew. */
  mode: () => "all" | "stopping" | "refused";
  /** The number of free slots, if so many jobs leave theirs. */
  room: (leaving: number) => number;
  /** Begins a call that renews; what it returns is called with the answer. */
  onRenew: () => (beat: NonNullable<SessionAnswer["beat"]>) => void;
  /** Called with a claim's answer. Returns whether it brought jobs. */
  onClaimed: (claimed: NonNullable<SessionAnswer["claimed"]>) => boolean;
  onLost: () => void;
}

interface Waiting extends SentOutcome {
  resolve: (answer: SentAnswer | undefined) => void;
  reject: (error: unknown) => void;
}

/** What one call says. */
interface Call {
  outcomes: readonly Waiting[];
  /** The number of jobs to claim; 0: none. */
  limit: number;
  renew: boolean;
}

export function createExchangeLoop(options: ExchangeLoopOptions): ExchangeLoop {
  const { session, node, clock, heartbeatMs, pollMs, maxPollMs, log } = options;
  const momentMs = options.isBatching ? BATCH_MOMENT_MS : SAME_MOMENT_MS;
  /** Woken when there is something to say. */
  const waker = createWaker();
  /** Ends a pause after a failure: each new outcome is tried at once. */
  const hurry = createWaker();
  const unanswered = new Set<Waiting>();
  let outbox: Waiting[] = [];
  let confirming: { resolve: () => void; reject: (error: unknown) => void }[] = [];
  let isOver = false;
  let isCalling = false;
  let current: Promise<void> = Promise.resolve();
  let isClaimWanted = true;
  let isRenewWanted = false;
  let renewedAt: ReturnType<LeaseClock["now"]> | undefined;
  let nextBeatMs = heartbeatMs;
  let emptyPolls = 0;
  let nextPollMs = pollDelayMs(0, { pollMs, maxPollMs });
  let apart: NodeJS.Timeout | undefined;
  let failuresApart = 0;

  /** After this time without a heartbeat, one is due. While slots are free, it also finds jobs that nothing announced. */
  const dueMs = () => (options.room(0) > 0 ? Math.min(nextBeatMs, nextPollMs) : nextBeatMs);
  const sinceRenewMs = () => (renewedAt ? clock.msSince(renewedAt) : Number.POSITIVE_INFINITY);

  /** Decides what to say now; undefined: nothing. */
  function next({ isAsked }: { isAsked: boolean }): Call | undefined {
    const outcomes = takeShared();
    const mode = options.mode();
    const leaving = outcomes.filter(({ slot }) => slot.isOver).length;
    const free = mode === "all" ? options.room(leaving) : 0;
    const sinceMs = sinceRenewMs();
    const mayRenew = mode !== "refused" && session.isOpen;
    const isDue =
      mayRenew && (isAsked || sinceMs >= dueMs() || (isRenewWanted && sinceMs >= RENEW_SPACING_MS));
    const isClaiming = free > 0 && (isClaimWanted || isDue || outcomes.length > 0);
    isClaimWanted = false;
    if (!isDue && !isClaiming && outcomes.length === 0) return undefined;
    // A call that is made anyway renews early, which saves one.
    const renew = isDue || (mayRenew && sinceMs >= heartbeatMs / 2);
    return { outcomes, limit: isClaiming ? free : 0, renew };
  }

  function takeShared(): Waiting[] {
    let length = 0;
    let count = 0;
    for (const { settlement, logs } of outbox.slice(0, SHARED_OUTCOMES)) {
      if (outbox.length > 1) length += JSON.stringify([settlement, logs]).length;
      if (count > 0 && length > SHARED_LENGTH) break;
      count += 1;
    }
    if (count < outbox.length) waker.wake();
    const taken = outbox.slice(0, count);
    outbox = outbox.slice(count);
    return taken;
  }

  /** Makes one call, and acts on its answer. */
  async function say({ outcomes, limit, renew }: Call): Promise<void> {
    const onBeat = renew ? options.onRenew() : undefined;
    if (renew) isRenewWanted = false;
    const askedAt = clock.now();
    let answer: SessionAnswer;
    try {
      answer = await session.exchange({
        settle: outcomes.map(({ settlement }) => settlement),
        logs: outcomes
          .filter(({ logs }) => logs.length > 0)
          .map(({ settlement: { id, fence }, logs }) => ({ id, fence, chunks: logs })),
        ...(limit > 0 && { limit }),
        ...(renew && { renew }),
      });
    } catch (error) {
      isClaimWanted ||= limit > 0;
      isRenewWanted ||= renew;
      if (error instanceof QueueUnavailableError || outcomes.length === 0) {
        outbox = [...outcomes, ...outbox];
        throw error;
      }
      // One outcome that the database refuses to read must not hold up the others, nor the claim.
      await sayOneByOne(outcomes, error, { isAlone: limit === 0 && !renew });
      waker.wake();
      return;
    }
    const logs = answer.logs.values();
    for (const [at, outcome] of outcomes.entries()) {
      const settled = answer.settled[at]?.answer ?? "unknown";
      outcome.slot.isSettled = settled !== "too_large" && settled !== "invalid";
      // Its slot is free, and this call did not claim for it.
      if (limit === 0 && outcome.slot.isOver) claim();
      const log = outcome.logs.length > 0 ? logs.next().value : undefined;
      outcome.resolve({ answer: settled, log });
    }
    if (answer.session === "superseded") throw new SupersededError(node);
    if (renew) {
      clock.confirm(askedAt);
      renewedAt = askedAt;
    }
    if (answer.session === "lost") {
      options.onLost();
      return claim();
    }
    if (answer.beat) {
      nextBeatMs = Math.min(heartbeatMs, answer.beat.statusEndsMs ?? heartbeatMs);
      onBeat?.(answer.beat);
    }
    const hasBrought = answer.claimed !== undefined && options.onClaimed(answer.claimed);
    // One answer did not hold all jobs.
    if (answer.claimed?.more) claim();
    if (hasBrought) emptyPolls = 0;
    else if (renew) emptyPolls += 1;
    if (renew || hasBrought) nextPollMs = pollDelayMs(emptyPolls, { pollMs, maxPollMs });
  }

  async function sayOneByOne(
    outcomes: readonly Waiting[],
    error: unknown,
    { isAlone }: { isAlone: boolean },
  ): Promise<void> {
    const [only] = outcomes;
    if (isAlone && only && outcomes.length === 1) return only.reject(error);
    for (const [at, outcome] of outcomes.entries()) {
      await say({ outcomes: [outcome], limit: 0, renew: false }).catch((failure: unknown) => {
        outbox = [...outcomes.slice(at + 1), ...outbox];
        throw failure;
      });
    }
  }

  async function round(): Promise<void> {
    const confirmed = confirming;
    confirming = [];
    isCalling = true;
    try {
      // Whatever ended under an older session counts if nobody has claimed its job: a hello gives those jobs back.
      if (!session.isOpen && outbox.length > 0) {
        await say({ outcomes: takeShared(), limit: 0, renew: false });
      }
      if (options.mode() === "all") await options.open();
      if (session.isOpen && clock.isDoubtful() && options.mode() !== "refused") {
        log.warn(
          {},
          "the lease may have ended unnoticed: asking the database before anything is written",
        );
        await say({ outcomes: [], limit: 0, renew: true });
        if (!session.isOpen) return;
      }
      const call = next({ isAsked: confirmed.length > 0 });
      if (call) await say(call);
    } catch (error) {
      for (const { reject } of confirmed) reject(error);
      throw error;
    } finally {
      isCalling = false;
      clearTimeout(apart);
      apart = undefined;
      for (const { resolve } of confirmed) resolve();
    }
  }

  const once = (): Promise<void> => {
    isOver = false;
    const done = round();
    current = done.catch(() => {});
    return done;
  };

  /** Sends what waits for a call that takes longer than a moment. */
  async function sayApart(): Promise<void> {
    apart = undefined;
    if (!isCalling || outbox.length === 0 || clock.isDoubtful()) return;
    try {
      await say({ outcomes: takeShared(), limit: 0, renew: false });
      failuresApart = 0;
    } catch {
      // The loop's own calls tell of it.
      failuresApart += 1;
    }
    if (outbox.length > 0) later(failuresApart > 0 ? reconnectDelayMs(failuresApart) : momentMs);
  }

  function later(ms: number): void {
    if (isCalling) apart ??= setTimeout(() => void sayApart(), ms);
  }

  function claim(): void {
    isClaimWanted = true;
    waker.wake();
  }

  return {
    claim,
    once,
    renew() {
      isRenewWanted = true;
      waker.wake();
    },

    send(outcome) {
      outcome.slot.isSent = true;
      if (isOver) return Promise.resolve(undefined);
      const { promise, resolve, reject } = Promise.withResolvers<SentAnswer | undefined>();
      const waiting = { ...outcome, resolve, reject };
      unanswered.add(waiting);
      outbox.push(waiting);
      waker.wake();
      hurry.wake();
      later(momentMs);
      return promise.finally(() => unanswered.delete(waiting));
    },

    confirm() {
      if (isOver) return Promise.resolve();
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      confirming.push({ resolve, reject });
      waker.wake();
      return promise;
    },

    answered: () => current,

    async run({ signal }) {
      try {
        await repeat(
          {
            round: once,
            async pause() {
              const mayRenew = options.mode() !== "refused" && session.isOpen;
              const inMs = isRenewWanted ? Math.min(RENEW_SPACING_MS, dueMs()) : dueMs();
              const ms = mayRenew ? Math.max(0, inMs - sinceRenewMs()) : UNTIL_WOKEN_MS;
              if (await clock.sleep(ms, { signal, log, waker })) isRenewWanted = true;
            },
          },
          { signal, log, maxDelayMs: heartbeatMs, hurry },
        );
      } finally {
        if (signal.aborted) {
          isOver = true;
          for (const { resolve } of unanswered) resolve(undefined);
          for (const { resolve } of confirming.splice(0)) resolve();
        }
      }
    },
  };
}
