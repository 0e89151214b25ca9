import type { Rule } from "../rule.ts";
import { findingAt } from "../violation.ts";

/** The epochs of a node never fall, and rise when it comes back from the dead. */
export const epochGrows: Rule = function* ({ moments }) {
  for (const { event, session } of moments) {
    if (event.type !== "node.hello" || session === null) continue;
    const least = session.isDead ? session.epoch + 1 : session.epoch;
    if ((event.epoch ?? 0) < least) {
      yield findingAt(event, `epoch ${event.epoch} after ${session.epoch}`);
    }
  }
};

/** Only a session that is open is declared dead. */
export const diesOnce: Rule = function* ({ moments }) {
  for (const { event, session } of moments) {
    if (event.type !== "node.dead") continue;
    if (session === null || session.isDead || session.epoch !== event.epoch) {
      yield findingAt(event, `no session of epoch ${event.epoch} was open`);
    }
  }
};
