import { randomUUID } from "node:crypto";
import type { ClaimedJob, NodeOffer, NodeReport, NodeStatus, Queue, Session } from "@loom/queue";
import { SupersededError } from "./errors.ts";

/** What a heartbeat brought. `lost`: the session ended; nothing that was held is held any more. */
export type Beat =
  | {
      session: "live";
      status: NodeStatus;
      /** What is held is to be given back: the deadline of a drain has passed. */
      giveBack: boolean;
      held: ReadonlyMap<number, number>;
      cancel: readonly number[];
    }
  | { session: "lost" };

/**
 * A node's session with the queue: its epoch, its lease, and the memory of its claims.
 *
 * - It is opened by the first call that needs it, and again after it was lost.
 * - A claim whose answer was lost is repeated with the same number, and brings the same
 *   jobs. The number rises when the database says that it is used up.
 * - Nothing here counts time: whether the lease still holds is for the database to say.
 * - Heartbeats run beside the others. `open` and `claim` come one after the other.
 */
export class NodeSession {
  readonly #queue: Queue;
  #report: NodeReport;
  /** What the database was last told of it. */
  #told: NodeReport | undefined;
  #epoch: number | undefined;
  #seq = 1;

  constructor(queue: Queue, report: Omit<NodeReport, "incarnation">) {
    this.#queue = queue;
    this.#report = { ...report, incarnation: randomUUID() };
  }

  /** Undefined until it is open. */
  get epoch(): number | undefined {
    return this.#epoch;
  }

  get isOpen(): boolean {
    return this.#epoch !== undefined;
  }

  /**
   * Says hello, unless the session is open. Jobs of older sessions of this node go back.
   *
   * @returns Whether it said hello.
   */
  async open(): Promise<boolean> {
    if (this.isOpen) return false;
    const report = this.#report;
    const { epoch } = await this.#queue.hello(report);
    this.#told = report;
    this.#epoch = epoch;
    this.#seq = 1;
    return true;
  }

  /** Changes what the node offers; the next `report` tells it, or a hello that comes first. */
  change(offer: Partial<NodeOffer>): void {
    this.#report = { ...this.#report, ...offer };
  }

  /** Tells what has changed since the database was last told. */
  async report(): Promise<void> {
    const report = this.#report;
    if (report === this.#told) return;
    const answer = await this.#queue.reportNode(this.#current(), report);
    // Otherwise a heartbeat finds the session lost, and the next hello tells everything.
    if (answer.session === "live") this.#told = report;
  }

  /**
   * Renews the lease.
   *
   * @returns null when the answer is about a session that is not the current one any more.
   * @throws SupersededError when a newer agent has this node's name.
   */
  async heartbeat(): Promise<Beat | null> {
    const session = this.#current();
    const answer = await this.#queue.heartbeat(session);
    if (session.epoch !== this.#epoch) return null;
    if (answer.session !== "live") {
      this.#end(answer.session);
      return { session: "lost" };
    }
    const held = new Map(answer.held.map(({ id, fence }) => [id, fence]));
    const { status, giveBack = false, cancel } = answer;
    return { session: "live", status, giveBack, held, cancel };
  }

  /**
   * Takes up to `limit` jobs.
   *
   * @returns null when the session was lost, whatever the answer: its jobs go back.
   * @throws SupersededError
   */
  async claim(limit: number): Promise<ClaimedJob[] | null> {
    const session = this.#current();
    const answer = await this.#queue.claim(session, { seq: this.#seq, limit });
    // A heartbeat may have found it lost in between.
    if (session.epoch !== this.#epoch) return null;
    if (answer.session !== "live") {
      this.#end(answer.session);
      return null;
    }
    this.#seq = Math.max(this.#seq, answer.seq + 1);
    return answer.jobs;
  }

  #current(): Session {
    if (this.#epoch === undefined) throw new Error("the session is not open");
    return { node: this.#report.name, epoch: this.#epoch };
  }

  // A superseded session stays open: said hello again, it would take the name back.
  #end(why: "dead" | "superseded"): void {
    if (why === "superseded") throw new SupersededError(this.#report.name);
    this.#epoch = undefined;
  }
}
