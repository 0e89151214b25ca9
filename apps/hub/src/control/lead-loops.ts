import { createWaker, repeat, sleep, type Waker } from "@loom/worker";
import type { HubContext } from "../hub-context.ts";
import type { ConditionLoop } from "./conditions.ts";
import type { DeliveryLoop } from "./deliveries.ts";
import type { Leader } from "./leader.ts";
import type { Maintenance } from "./maintenance.ts";
import type { WakeTarget } from "./node-waker.ts";
import type { NotifyLoop } from "./notify.ts";
import { type Pause, SPACING_MS } from "./pace.ts";
import type { RoundLoop, ScheduleNews } from "./round.ts";
import type { ScheduleLoop } from "./schedules.ts";
import type { WaitLoop } from "./waits.ts";

/** The longest pause between calls while the database does not answer: the lead may be free by then. */
const MAX_DELAY_MS = 2_000;
/** How often to remove what finished long ago. */
const PRUNE_MS = 3_600_000;
/** How long to wait after a failed round of schedules, deliveries, conditions or waits. */
const RETRY_MS = 5_000;

/** Wakes the rounds, in which the hub that leads places jobs and wakes nodes. */
export interface RoundWaker {
  /** Wakes this hub's rounds, if it leads. */
  wake(): void;
  /** Wakes the rounds of whichever hub leads: there may be a job to place, or a pinned job to claim. */
  wakeLeader(): void;
  /** Waits for a wake-up, for `ms` at most. True when there was one. */
  wait(ms: number, signal: AbortSignal): Promise<boolean>;
}

export function createRoundWaker({
  leader,
  wakeLeader,
}: {
  leader: Pick<Leader, "wakeServer" | "isFollower">;
  wakeLeader: (node: WakeTarget) => void;
}): RoundWaker {
  const waker = createWaker();
  // A hub that does not lead could only ask who does, which it does often enough.
  const wake = () => {
    if (!leader.isFollower()) waker.wake();
  };
  return {
    wake,
    wait: (ms, signal) => waker.wait(ms, signal),
    wakeLeader() {
      wake();
      const other = leader.wakeServer();
      if (other) wakeLeader(other);
    },
  };
}

/** Wakes the loop of schedules when a round says that there is something to do. */
export interface ScheduleWaker {
  /** Records what a round says. */
  note(news: ScheduleNews): void;
  /** Wakes the loop. */
  wake(): void;
  /** Waits for a wake-up, for `ms` at most, also where the machine sleeps meanwhile. */
  wait(ms: number, signal: AbortSignal): Promise<void>;
}

/** @param wallClock - In milliseconds. A timer stands still while the machine sleeps; this clock does not. */
export function createScheduleWaker({
  wallClock = Date.now,
}: {
  wallClock?: () => number;
} = {}): ScheduleWaker {
  const waker = createWaker();
  let revision: string | undefined;
  let dueAt = Number.POSITIVE_INFINITY;
  return {
    wake: () => waker.wake(),
    note(news) {
      const hasChanged = news.revision !== revision;
      revision = news.revision;
      if (hasChanged || news.canStart || wallClock() > dueAt) waker.wake();
    },
    async wait(ms, signal) {
      dueAt = wallClock() + ms;
      await waker.wait(ms, signal);
    },
  };
}

/** The work that only one hub at a time does: rounds, pruning, schedules, deliveries. Every hub has these loops. */
export interface LeadLoops {
  /**
   * Runs the loops until the signal aborts, and gives the lead up then. The loops work while this hub leads.
   *
   * @returns The loops. Each rejects when all its work is impossible; any other failed round is noted as a
   *   fault, and the next round follows.
   */
  run(options: { signal: AbortSignal }): Promise<void>[];
}

export function createLeadLoops({
  leader,
  rounds,
  roundWaker,
  maintenance,
  scheduleLoop,
  scheduleWaker,
  deliveryLoop,
  deliveryWaker,
  conditionLoop,
  conditionWaker,
  waitLoop,
  waitWaker,
  notifyLoop,
  notifyWaker,
  faults,
  log,
}: Pick<HubContext, "faults" | "log"> & {
  leader: Pick<Leader, "whenLeading" | "end" | "resign">;
  rounds: Pick<RoundLoop, "round">;
  roundWaker: Pick<RoundWaker, "wait">;
  maintenance: Maintenance;
  scheduleLoop: ScheduleLoop;
  scheduleWaker: Pick<ScheduleWaker, "wait">;
  deliveryLoop: DeliveryLoop;
  deliveryWaker: Pick<Waker, "wait">;
  conditionLoop: ConditionLoop;
  /** Woken when a round finds conditions to evaluate. */
  conditionWaker: Pick<Waker, "wait">;
  waitLoop: WaitLoop;
  /** Woken when a round finds waits to end. */
  waitWaker: Pick<Waker, "wait">;
  notifyLoop: NotifyLoop;
  /** Woken when the workflows have changed. */
  notifyWaker: Pick<Waker, "wait">;
}): LeadLoops {
  let wasWoken = true;
  let startedAt = 0;
  let pause: Pause = { ms: 0, spacingMs: SPACING_MS };

  async function round(): Promise<void> {
    startedAt = performance.now();
    const item = { loop: "round", subject: "round" };
    const found = await faults.isolate(item, () => rounds.round({ wasWoken }));
    pause = found ?? { ms: MAX_DELAY_MS, spacingMs: SPACING_MS };
  }

  return {
    run({ signal }) {
      const roundsOver = repeat(
        {
          round,
          pause: async () => {
            const { ms, spacingMs } = pause;
            const earliestMs = Math.min(ms, startedAt + spacingMs - performance.now());
            if (earliestMs > 0) await sleep(earliestMs, { signal });
            wasWoken = await roundWaker.wait(ms - Math.max(0, earliestMs), signal);
          },
        },
        { signal, log: log.child({ loop: "round" }), maxDelayMs: MAX_DELAY_MS },
      ).finally(() => leader.end());
      /** Work of the leader, which says after how many milliseconds it is due again, unless it is woken before. */
      const loop = (
        name: string,
        work: (epoch: number, options: { wasWoken: boolean }) => Promise<number>,
        waker: { wait(ms: number, signal: AbortSignal): Promise<unknown> },
        retryMs = RETRY_MS,
      ) => {
        let pauseMs = 0;
        let wasWoken = true;
        const lead = async () => {
          const epoch = await leader.whenLeading();
          if (epoch === undefined) return;
          const item = { loop: name, subject: "round" };
          // A failed round is tried again after a while, not at once.
          const dueInMs = await faults.isolate(item, () => work(epoch, { wasWoken }));
          if (dueInMs !== undefined) wasWoken = false;
          pauseMs = dueInMs ?? retryMs;
        };
        const pause = async () => {
          if ((await waker.wait(pauseMs, signal)) === true) wasWoken = true;
        };
        return repeat({ round: lead, pause }, { signal, log: log.child({ loop: name }) });
      };
      const prune = async () => {
        await maintenance.prune();
        return PRUNE_MS;
      };
      const loops = [
        roundsOver,
        loop("prune", prune, createWaker(), PRUNE_MS),
        loop("schedule", scheduleLoop.round, scheduleWaker),
        loop("deliver", deliveryLoop.round, deliveryWaker),
        loop("condition", conditionLoop.round, conditionWaker),
        loop("wait", waitLoop.round, waitWaker),
        loop("workflows", notifyLoop.round, notifyWaker),
      ];
      // The lead does not wait for the worker, whose steps may go on for a while.
      return [...loops, Promise.allSettled(loops).then(() => leader.resign())];
    },
  };
}
