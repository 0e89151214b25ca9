import type { Queue } from "@loom/queue";
import { createBell, type Log, repeat } from "@loom/worker";
import type { Dispatcher } from "../dispatcher.ts";
import type { Rung } from "../ring-doorbells.ts";
import type { Leader } from "./leader.ts";
import type { Timetable } from "./timetable.ts";

/** How often to look for waiting jobs when nothing rang, and for dead nodes. */
const PLACE_MS = 1_000;
const REAP_MS = 1_000;
/** How often to remove what was finished long ago. */
const PRUNE_MS = 3_600_000;
/** And for this long after an offer: its node may soon have a free slot, or a next step be due. */
const BUSY_FOR_MS = 5_000;
const PLACE_BUSY_MS = 200;

/** What one hub at a time does: placing, reaping, pruning, schedules. Every hub has these, and the leader's turn. */
export interface LeadLoops {
  /** Looks for something to place at once, if this hub leads. */
  look(): void;
  /** The same in whichever hub leads: there may be something to place, or a job due that needs no placing. */
  ring(): void;
  /**
   * Leads whenever it is this hub's turn, until the signal aborts, and then gives the lead up.
   *
   * @returns Loops, each of which fails when it cannot go on.
   */
  run(options: { signal: AbortSignal }): Promise<void>[];
}

export function createLeadLoops({
  queue,
  leader,
  dispatcher,
  timetable,
  ringNode,
  log,
}: {
  queue: Pick<Queue, "listDoorbells">;
  leader: Leader;
  dispatcher: Dispatcher;
  timetable: Timetable;
  ringNode: (node: Rung) => void;
  log: Log;
}): LeadLoops {
  const placing = createBell();
  // Nobody rings these: they wait for their time, or for the end.
  const reaping = createBell();
  const pruning = createBell();
  const scheduling = createBell();
  let busyUntil = 0;
  let hasRung = true;
  let scheduleMs = 0;

  async function place(): Promise<void> {
    const offered = await dispatcher.place();
    if (offered.size > 0) busyUntil = performance.now() + BUSY_FOR_MS;
  }

  /** Somebody did something: a job that is pinned to its node may be due, and needs no placing. */
  async function ringPinned(): Promise<void> {
    if (hasRung) for (const due of await queue.listDoorbells()) ringNode(due);
  }

  return {
    look: () => placing.ring(),

    ring() {
      placing.ring();
      const other = leader.doorbell();
      if (other) ringNode(other);
    },

    run({ signal }) {
      const loop = (
        name: string,
        round: (epoch: number) => Promise<void>,
        pause: () => Promise<unknown>,
      ) =>
        repeat(
          {
            async round() {
              const epoch = await leader.whenLeading();
              if (epoch !== undefined) await round(epoch);
            },
            pause,
          },
          { signal, log: log.child({ loop: name }) },
        );
      const loops = [
        leader.keep({ signal }),
        loop(
          "place",
          async () => void (await Promise.all([place(), ringPinned()])),
          async () => {
            const ms = performance.now() < busyUntil ? PLACE_BUSY_MS : PLACE_MS;
            hasRung = await placing.wait(ms, signal);
          },
        ),
        loop(
          "reap",
          () => dispatcher.reap(),
          () => reaping.wait(REAP_MS, signal),
        ),
        loop(
          "prune",
          () => dispatcher.prune(),
          () => pruning.wait(PRUNE_MS, signal),
        ),
        loop(
          "schedule",
          async (epoch) => {
            scheduleMs = await timetable.round(epoch);
          },
          () => scheduling.wait(scheduleMs, signal),
        ),
      ];
      // Not when the worker is done too: its steps may go on for a while.
      return [...loops, Promise.allSettled(loops).then(() => leader.resign())];
    },
  };
}
