import type { AttemptOutcome, TakenDelivery } from "@loom/queue";
import { describeOccurrence, type Message, pathOf, readFacts } from "../hooks/message.ts";
import { sendMessage } from "../hooks/send.ts";
import { openTarget } from "../hooks/targets.ts";
import type { HubContext } from "../hub-context.ts";

/** Sends the messages of hooks. */
export interface DeliveryLoop {
  /**
   * Begins to send what is due, and does not wait for the answers.
   *
   * @param epoch - The epoch of this hub's lead.
   * @returns After how many milliseconds to run the next round. It is due earlier when `onFree` was called.
   */
  round(epoch: number): Promise<number>;
}

/** The longest pause. A round of the leader wakes the loop when something is due. */
const IDLE_MS = 600_000;
/** The outcome of an attempt by what the delivery is then: a second attempt may have begun beside a slow one. */
const OUTCOMES = {
  delivered: "delivered",
  pending: "retry",
  failed: "failed",
  repeated: "repeated",
} as const;
/** How long to wait after another hub has taken over the lead. */
const DEPOSED_MS = 5_000;

/**
 * Creates the loop that sends the messages of hooks while this hub leads.
 *
 * Each hook has one message under way at a time, so a target that is slow or broken delays only its own messages. What
 * was sent, and could not be recorded because this hub died or the database was away, is sent again a minute later
 * under the same id.
 */
export function createDeliveryLoop({
  queue,
  seal,
  join,
  log,
  metrics,
  stopping,
  onFree = () => {},
  timeoutMs,
}: Pick<HubContext, "queue" | "seal" | "join" | "log" | "metrics" | "stopping"> & {
  /** Called when an attempt has ended: its hook's next message can be sent. */
  onFree?: () => void;
  /** How long an attempt may take. */
  timeoutMs?: number;
}): DeliveryLoop {
  const busy = new Set<string>();

  async function attempt(delivery: TakenDelivery): Promise<AttemptOutcome> {
    try {
      const target = openTarget(delivery.sealed, delivery.hook, seal);
      const message = toMessage(delivery, await join.tailnetUrl().catch(() => undefined));
      const options = { signal: stopping, ...(timeoutMs !== undefined && { timeoutMs }) };
      return await sendMessage(target, message, options);
    } catch (error) {
      return { tookMs: 0, error: (error as Error).message };
    }
  }

  async function send(delivery: TakenDelivery): Promise<void> {
    const { id, hook, rule, attempt: number } = delivery;
    const facts = { hook, rule, delivery: id, attempt: number };
    try {
      const outcome = await attempt(delivery);
      // The next hub sends it again.
      if (stopping.aborted && outcome.error !== undefined) return;
      const state = await queue.recordDelivery(delivery, outcome);
      metrics.deliveries.inc({ outcome: OUTCOMES[state ?? "repeated"] });
      const { status, tookMs, error } = outcome;
      if (error === undefined) log.info({ ...facts, status, tookMs }, "notified");
      else log.warn({ ...facts, status, tookMs, problem: error }, "a message did not arrive");
    } catch (err) {
      log.warn({ ...facts, err }, "the outcome of a message was not recorded; it is sent again");
    }
  }

  return {
    async round(epoch) {
      const { answer, deliveries, dueInMs } = await queue.takeDeliveries({
        epoch,
        busy: [...busy],
      });
      if (answer === "deposed") return DEPOSED_MS;
      for (const delivery of deliveries) {
        busy.add(delivery.hook);
        void send(delivery).finally(() => {
          busy.delete(delivery.hook);
          onFree();
        });
      }
      return Math.min(IDLE_MS, Math.max(0, dueInMs ?? IDLE_MS));
    },
  };
}

function toMessage(delivery: TakenDelivery, url: string | undefined): Message {
  const { id, hook, rule, createdAt, facts } = delivery;
  return {
    id,
    hook,
    rule,
    at: createdAt,
    ...describeOccurrence(delivery),
    link: url === undefined ? undefined : new URL(pathOf(delivery), url).href,
    facts: readFacts(facts),
  };
}
