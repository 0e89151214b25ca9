import { randomUUID } from "node:crypto";
import type { ClaimedJob, NodeReport, Queue } from "@loom/queue";
import { SupersededError } from "./errors.ts";

/** What a heartbeat brought. `lost`: the session ended; nothing that was held is held any more. */
export type Beat =
  | { session: "live"; held: Map<number, number>; cancel: number[]; status: string }
  | { session: "lost" };

/**
 * A node's session with the queue: its epoch, its lease, and the memory of its claims.
 *
 * - It is opened by the first call that needs it, and again after it was lost.
 * - The claim's number rises only when jobs arrived. A claim whose answer was lost is
 *   therefore repeated with the same number, and brings the same jobs.
 * - Nothing here counts time: whether the lease still holds is for the database to say.
 */
export class NodeSession {
  readonly #queue: Queue;
  readonly #report: Omit<NodeReport, "incarnation">;
  readonly #incarnation = randomUUID();
  #opening: Promise<void> | undefined;
  #epoch: number | undefined;
  #seq = 1;

  constructor(queue: Queue, report: Omit<NodeReport, "incarnation">) {
    this.#queue = queue;
    this.#report = report;
  }

  get isOpen(): boolean {
    return this.#epoch !== undefined;
  }

  /** Says hello, unless the session is open. Jobs of older sessions of this node go back. */
  open(): Promise<void> {
    if (this.isOpen) return Promise.resolve();
    this.#opening ??= this.#hello().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #hello(): Promise<void> {
    const { epoch } = await this.#queue.hello({ ...this.#report, incarnation: this.#incarnation });
    this.#epoch = epoch;
    this.#seq = 1;
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
    if (answer.session !== "live") return this.#end(answer.session);
    const { status, cancel } = answer;
    return {
      session: "live",
      held: new Map(answer.held.map(({ id, fence }) => [id, fence])),
      cancel,
      status,
    };
  }

  /**
   * Takes up to `limit` jobs. One claim at a time: its number is its identity.
   *
   * @returns null when the session was lost.
   * @throws SupersededError
   */
  async claim(limit: number): Promise<ClaimedJob[] | null> {
    const session = this.#current();
    const answer = await this.#queue.claim(session, { seq: this.#seq, limit });
    if (answer.session !== "live") {
      // Meanwhile a heartbeat may have found the same, and the session may be a new one.
      if (session.epoch === this.#epoch) this.#end(answer.session);
      return null;
    }
    if (answer.jobs.length > 0) this.#seq += 1;
    return answer.jobs;
  }

  #current(): { node: string; epoch: number } {
    if (this.#epoch === undefined) throw new Error("the session is not open");
    return { node: this.#report.name, epoch: this.#epoch };
  }

  #end(why: "dead" | "superseded"): { session: "lost" } {
    if (why === "superseded") throw new SupersededError(this.#report.name);
    this.#epoch = undefined;
    return { session: "lost" };
  }
}
