import { isLed, type LedRound, type Queue } from "@loom/queue";
import type { HubContext } from "../hub-context.ts";
import type { Dispatcher, Supply } from "./dispatch.ts";
import type { Leader } from "./leader.ts";
import type { WakeTarget } from "./node-waker.ts";
import { BUSY_MS, createPace, type Pause, SHARED } from "./pace.ts";

/** A hub's regular work: it keeps the lead and, while it has it, reaps, expires, places and wakes. */
export interface RoundLoop {
  /**
   * Does one round.
   *
   * @param options.wasWoken - Whether something happened since the last one.
   * @returns How long to wait before the next one.
   */
  round(options: { wasWoken: boolean }): Promise<Pause>;
  /** Another hub has woken this one. If this one leads, the other would take the lead over. */
  noteFollower(): void;
}

/** One answer lists this many jobs of a kind at most. */
const LISTED = 100;

/** Items are made in chunks; a round makes this many. */
const CHUNKS = 4;

/** What a round says about schedules. */
export type ScheduleNews = LedRound["schedules"];

/**
 * Creates the rounds of a hub. Each is one call to the database, and a second one that writes what placing decided.
 *
 * A round whose answer was lost is repeated. Two hubs that both believe that they lead do no harm: an offer is
 * written only for a job that still waits, and one reaper works at a time.
 */
export function createRoundLoop({
  queue,
  holder,
  leader,
  dispatcher,
  wakeNode,
  onSchedules = () => {},
  onDeliveries = () => {},
  onConditions = () => {},
  onWaits = () => {},
  faults,
  log,
}: Pick<HubContext, "faults" | "log"> & {
  queue: Pick<Queue, "round" | "expandMaps">;
  holder: string;
  leader: Pick<Leader, "note">;
  dispatcher: Dispatcher;
  wakeNode: (node: WakeTarget) => void;
  /** Called in each round of the leader. */
  onSchedules?: (news: ScheduleNews) => void;
  /** Called when messages of hooks are due. */
  onDeliveries?: () => void;
  /** Called in a round of the leader that found conditions to evaluate. */
  onConditions?: () => void;
  /** Called in a round of the leader that found waits to end. */
  onWaits?: () => void;
}): RoundLoop {
  const pace = createPace();
  /** The state for which placing had nothing to offer. */
  let seen: string | undefined;
  let supply: Supply | null = null;
  let pauseMs = 0;
  let isKnown = false;

  function noteParts({ failed, reaped, expired }: LedRound): void {
    for (const { part, problem } of failed) {
      faults.note({ loop: part, subject: "round" }, new Error(problem));
    }
    for (const { job, problem } of reaped?.failed ?? []) {
      faults.note({ loop: "reap", subject: `job ${job}` }, new Error(problem));
    }
    if (reaped !== null && hasReaped(reaped)) {
      const { dead, requeued, expiredOffers } = reaped;
      log.warn({ dead, requeued, expiredOffers }, "reaped");
    }
    if (expired > 0) log.warn({ expired }, "jobs not started in time");
  }

  /** @returns The nodes that got offers, and whether there may be more to place at once. */
  async function place(placing: LedRound["placing"]) {
    const nothing = { offered: 0, hasNews: false, hasMore: false };
    if (placing !== null && !placing.waiting) {
      // The state is as before.
      if (supply) supply = { ...supply, opened: 0 };
      return nothing;
    }
    seen = undefined;
    supply = null;
    const { waiting, nodes } = placing ?? {};
    if (placing === null || !waiting || !nodes) return nothing;
    const placed = await faults.isolate({ loop: "place", subject: "round" }, () =>
      dispatcher.place({ waiting, nodes }),
    );
    if (placed === undefined) return { offered: 0, hasNews: true, hasMore: false };
    // An equal state leads to the same decision, which is written.
    if (placed.wanted === 0) seen = placing.seen;
    supply = placed.supply;
    const offered = placed.offered.size;
    const hasMore = offered > 0 && placed.hasFreeSlots && waiting.length >= LISTED;
    return { offered, hasNews: true, hasMore };
  }

  /**
   * Makes items of steps that map over lists, a few thousand at most: the lead has to be kept, and jobs that are there
   * to be placed.
   *
   * @returns Whether there is something new to place at once.
   */
  async function expand(): Promise<boolean> {
    let hasNew = false;
    await faults.isolate({ loop: "expand", subject: "round" }, async () => {
      for (let chunks = 0; chunks < CHUNKS; chunks += 1) {
        const { made, more, failed } = await queue.expandMaps();
        for (const { job, problem } of failed) {
          faults.note({ loop: "expand", subject: `job ${job}` }, new Error(problem));
        }
        hasNew ||= made > 0 || more;
        if (!more) return;
      }
    });
    return hasNew;
  }

  function take(pause: Pause): Pause {
    pauseMs = pause.ms;
    return pause;
  }

  return {
    noteFollower: () => pace.noteFollower(),

    async round({ wasWoken }) {
      if (wasWoken) pace.wake();
      const askedAt = performance.now();
      const leaseMs = pace.leaseMs();
      // The frequent rounds after an offer need not wake nodes again and again.
      const wake = wasWoken || pauseMs !== BUSY_MS;
      const answer = await queue.round({ holder, leaseMs, seen, wake });
      leader.note(answer.lead, { askedAt, leaseMs });
      if (!isLed(answer)) {
        seen = undefined;
        const { expiresInMs, wakeServer } = answer.lead;
        // With this lease, the leader does not know of another hub.
        if (!isKnown && expiresInMs > SHARED.leaseMs && wakeServer !== null) wakeNode(wakeServer);
        isKnown = true;
        return take(pace.afterFollowing(expiresInMs));
      }
      isKnown = false;
      noteParts(answer);
      for (const node of answer.wake) wakeNode(node);
      onSchedules(answer.schedules);
      if (answer.hasDeliveries) onDeliveries();
      if (answer.hasConditions) onConditions();
      if (answer.hasWaits) onWaits();
      const { offered, hasNews, hasMore } = await place(answer.placing);
      const hasNewItems = answer.hasMaps && (await expand());
      const { isBusy, hasFollowers, dueInMs, reaped, expired } = answer;
      const elapsedMs = performance.now() - askedAt;
      return take(
        pace.afterLed({
          dueInMs: dueInMs === null ? null : dueInMs - elapsedMs,
          isBusy: isBusy || offered > 0,
          hasOffered: offered > 0,
          hasNews: hasNews || hasNewItems || expired > 0 || (reaped !== null && hasReaped(reaped)),
          hasMore: hasMore || hasNewItems,
          supply,
          hasFollowers,
        }),
      );
    },
  };
}

const hasReaped = ({ dead, requeued, expiredOffers }: NonNullable<LedRound["reaped"]>): boolean =>
  dead.length + requeued + expiredOffers > 0;
