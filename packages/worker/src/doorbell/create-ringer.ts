import type { Log } from "../log.ts";
import type { BellRoute } from "./bell-address.ts";
import { ringDoorbell } from "./ring-doorbell.ts";

const FIRST_SILENCE_MS = 5_000;
const MAX_SILENCE_MS = 300_000;
/** Bells that are remembered because they did not answer. */
const MAX_SILENT = 1_000;

/** What became of a ring. `silenced`: the bell did not answer lately, and is left alone for a while. */
export type RingResult = "answered" | "unanswered" | "silenced";

export interface RingerOptions {
  log: Log;
  /** Called with what became of each ring; several that one ring stands for count once. */
  onRung?: (result: RingResult) => void;
  /** The port of one's own doorbell, as it is now, if others may ring back. */
  ringBack?: () => number | undefined;
  /** Clock in milliseconds; must not run backwards. Default `performance.now`. */
  now?: () => number;
}

/** Rings doorbells, and leaves those alone that do not answer. */
export interface Ringer {
  /**
   * Rings a doorbell and waits for nothing. A ring that is asked for while one is under way
   * comes after it: what there was to say may be newer than what the other has looked at.
   */
  ring(bell: BellRoute): void;
}

interface State {
  failures: number;
  silentUntil: number;
  isRinging: boolean;
  isWanted: boolean;
}

/**
 * Creates a ringer. A bell that does not answer is left alone for 5 s, and twice as long
 * each time, up to 5 min: its owner polls.
 */
export function createRinger({
  log,
  onRung = () => {},
  ringBack = () => undefined,
  now = () => performance.now(),
}: RingerOptions): Ringer {
  // Only bells that are being rung or did not answer: the others need no memory.
  const states = new Map<string, State>();

  async function ringWhileWanted(bell: BellRoute, key: string, state: State): Promise<void> {
    state.isRinging = true;
    while (state.isWanted) {
      state.isWanted = false;
      try {
        await ringDoorbell(bell, { ringBack: ringBack() });
        if (state.failures > 0) log.info({ bell: key }, "doorbell answers again");
        state.failures = 0;
        onRung("answered");
      } catch (error) {
        state.failures += 1;
        const silentMs = silenceMs(state.failures);
        state.silentUntil = now() + silentMs;
        state.isWanted = false;
        onRung("unanswered");
        log.warn({ bell: key, silentMs, err: error }, "doorbell did not answer");
      }
    }
    state.isRinging = false;
    if (state.failures === 0) states.delete(key);
  }

  return {
    ring(bell) {
      const key = `${bell.address}:${bell.port}`;
      const state = states.get(key) ?? {
        failures: 0,
        silentUntil: Number.NEGATIVE_INFINITY,
        isRinging: false,
        isWanted: false,
      };
      if (now() < state.silentUntil) {
        onRung("silenced");
        return;
      }
      state.isWanted = true;
      states.set(key, state);
      forgetOldest(states);
      if (!state.isRinging) void ringWhileWanted(bell, key, state);
    },
  };
}

/** How long a bell is left alone after so many rings in a row that it did not answer. */
export const silenceMs = (failures: number): number =>
  Math.min(MAX_SILENCE_MS, FIRST_SILENCE_MS * 2 ** (failures - 1));

function forgetOldest(states: Map<string, State>): void {
  for (const [key, { isRinging }] of states) {
    if (states.size <= MAX_SILENT) return;
    if (!isRinging) states.delete(key);
  }
}
