import { randomUUID } from "node:crypto";
import type {
  ClaimAnswer,
  ExchangeAnswer,
  ExchangeWishes,
  HeartbeatAnswer,
  NodeMachine,
  NodeProfile,
  NodeReport,
  NodeStatus,
  Queue,
  Session,
} from "@loom/queue";
import type { Log } from "./log.ts";
import { sleep, type Waker } from "./wait.ts";

/** Another agent with this node's name has started since, so this one must stop. */
export class SupersededError extends Error {
  override readonly name = "SupersededError";
  readonly code = "SUPERSEDED";
  readonly node: string;
  constructor(node: string) {
    super(
      `another agent started as ${node} and took over; if these are two machines, give one another name (LOOM_NODE_NAME)`,
    );
    this.node = node;
  }
}

/** The answer to a heartbeat. */
export interface Beat {
  status: NodeStatus;
  /** The node has to give its jobs back, because the deadline of a drain has passed. */
  giveBack: boolean;
  /** Milliseconds until a pause ends by itself or the deadline of a drain passes. */
  statusEndsMs: number | null;
  /** The id of an order to take another agent; null when there is none. */
  upgrade: string | null;
  /** The jobs that this node runs, with their fences: as of before what else the call did. */
  held: ReadonlyMap<number, number>;
  cancel: readonly number[];
}

/** What one call to the queue is to do. */
export interface SessionWishes extends Pick<ExchangeWishes, "settle" | "logs" | "renew"> {
  /** Claims up to so many jobs. */
  limit?: number | undefined;
}

export interface SessionAnswer extends Pick<ExchangeAnswer, "settled" | "logs"> {
  /**
   * `lost`: the session has ended, and the node holds nothing any more. `superseded`: a newer agent has this node's
   * name. What was to be settled is answered all the same.
   */
  session: "live" | "lost" | "superseded";
  /** Present if the lease was renewed. */
  beat?: Beat;
  /** Present if the session could claim: the jobs, and whether there are more. */
  claimed?: Pick<Extract<ClaimAnswer, { session: "live" }>, "jobs" | "unreadable" | "more">;
}

/**
 * A node's session with the queue: its epoch, its lease, and the number of its next claim.
 *
 * - `open` starts it, and starts it again after it was lost.
 * - A claim whose answer was lost is repeated with the same number and brings the same jobs. The number
 *   rises when the database has answered.
 * - Nothing here measures time. Only the database knows whether the lease still holds.
 * - Calls that claim or renew, and `open`, are made one after the other. Calls that only settle may run beside them.
 */
export class NodeSession {
  readonly #queue: Queue;
  readonly #machine: (() => NodeMachine) | undefined;
  #report: NodeReport;
  /** The last report that the database has. */
  #reported: NodeReport | undefined;
  #epoch: number | undefined;
  #database: string | undefined;
  #seq = 1;

  constructor(
    queue: Queue,
    report: Omit<NodeReport, "incarnation" | "machine">,
    machine?: () => NodeMachine,
  ) {
    this.#queue = queue;
    this.#machine = machine;
    this.#report = { ...report, incarnation: randomUUID() };
  }

  /** Undefined until it is open. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  get isOpen(): boolean {
    return this.#epoch !== undefined;
  }

  /** The id of the database that last answered a hello. */
  get database(): string {
    if (this.#database === undefined) throw new Error("no session was opened yet");
    return this.#database;
  }

  /**
   * Says hello unless the session is open. Jobs of older sessions of this node go back.
   *
   * @returns Whether it said hello.
   * @throws NodeNameInUseError while another machine holds the node's name.
   */
  async open(): Promise<boolean> {
    if (this.isOpen) return false;
    const report = this.#report;
    const { epoch, database } = await this.#queue.hello({ ...report, machine: this.#machine?.() });
    this.#database = database;
    this.#reported = report;
    this.#epoch = epoch;
    this.#seq = 1;
    return true;
  }

  /** Changes what the node offers. The next `report` or hello sends it. */
  change(profile: Partial<NodeProfile>): void {
    this.#report = { ...this.#report, ...profile };
  }

  /** Sends what has changed since the last report. */
  async report(): Promise<void> {
    const report = this.#report;
    if (report === this.#reported) return;
    const answer = await this.#queue.reportNode(this.#current(), report);
    // Otherwise a heartbeat finds the session lost, and the next hello sends everything.
    if (answer.session === "live") this.#reported = report;
  }

  /** Settles, claims and renews the lease in one call. Settling alone takes no open session. */
  async exchange({ limit, ...wishes }: SessionWishes): Promise<SessionAnswer> {
    const claim = limit === undefined ? undefined : { seq: this.#seq, limit };
    const session = claim || wishes.renew ? this.#current() : { node: this.#report.name, epoch: 0 };
    const answer = await this.#queue.exchange(session, { ...wishes, claim });
    const { claim: claimed, heartbeat, settled, logs } = answer;
    const states = [claimed?.session, heartbeat?.session];
    if (states.includes("superseded")) {
      // It stays open, because another hello would take the name back.
      return { session: "superseded", settled, logs };
    }
    if (states.includes("dead")) {
      this.#epoch = undefined;
      return { session: "lost", settled, logs };
    }
    if (claimed?.session === "live") this.#seq = Math.max(this.#seq, claimed.seq + 1);
    return {
      session: "live",
      settled,
      logs,
      ...(heartbeat?.session === "live" && { beat: toBeat(heartbeat) }),
      ...(claimed?.session === "live" && { claimed }),
    };
  }

  #current(): Session {
    if (this.#epoch === undefined) throw new Error("the session is not open");
    return { node: this.#report.name, epoch: this.#epoch };
  }
}

const toBeat = (answer: Extract<HeartbeatAnswer, { session: "live" }>): Beat => {
  const { status, giveBack = false, statusEndsMs = null, upgrade = null, cancel } = answer;
  const held = new Map(answer.held.map(({ id, fence }) => [id, fence]));
  return { status, giveBack, statusEndsMs, upgrade, held, cancel };
};

/** How often to compare the clocks. A timer alone stands still while the machine sleeps. */
const CLOCK_CHECK_MS = 1_000;

/** The machine has slept when the wall clock is ahead of the monotonic one by this much. */
const SLEPT_MS = 5_000;

/** An instant by both of a machine's clocks. */
interface Instant {
  wall: number;
  monotonic: number;
}

/**
 * Measures time on a machine that may sleep. The monotonic clock stands still meanwhile, and the wall
 * clock can be set, so the longer of both durations counts. A wall clock that was set forward costs one
 * call to the database; a lease is never trusted too long.
 */
export interface LeaseClock {
  now(): Instant;
  msSince(instant: Instant): number;
  /**
   * Waits for `ms` by either clock, or until the wall clock jumps, a wake-up comes, or the signal
   * aborts.
   *
   * @returns Whether the clock jumped.
   */
  sleep(ms: number, options: { signal: AbortSignal; log: Log; waker?: Waker }): Promise<boolean>;
  /** Records that the database has confirmed the lease in answer to a call of this instant. */
  confirm(askedAt: Instant): void;
  /** Whether the lease may have ended since the database last confirmed it. */
  isDoubtful(): boolean;
}

export function createLeaseClock({
  leaseMs,
  wall = Date.now,
  monotonic = () => performance.now(),
}: {
  leaseMs: number;
  wall?: () => number;
  monotonic?: () => number;
}): LeaseClock {
  let confirmedAt: Instant | undefined;
  const now = () => ({ wall: wall(), monotonic: monotonic() });
  const msSince = (then: Instant) => Math.max(wall() - then.wall, monotonic() - then.monotonic);
  return {
    now,
    msSince,
    async sleep(ms, { signal, log, waker }) {
      const from = now();
      while (!signal.aborted) {
        const at = now();
        const sleptMs = at.wall - from.wall - (at.monotonic - from.monotonic);
        if (sleptMs > SLEPT_MS) {
          log.warn({ sleptMs }, "the machine slept, or its clock was set");
          return true;
        }
        const leftMs = ms - msSince(from);
        if (leftMs <= 0) return false;
        const waitMs = Math.min(leftMs, CLOCK_CHECK_MS);
        if (!waker) await sleep(waitMs, { signal });
        else if (await waker.wait(waitMs, signal)) return false;
      }
      return false;
    },
    confirm(askedAt) {
      confirmedAt = askedAt;
    },
    isDoubtful: () => confirmedAt !== undefined && msSince(confirmedAt) >= leaseMs,
  };
}
