import { createWaker } from "../wait.ts";

/** Stores values one after the other; of those that come meanwhile, only the latest. */
export interface Latest {
  /** Resolves when this value, or one that came after it, is stored. Fails as `store` did. */
  save(json: string): Promise<void>;
  /** Takes the value back that is still to be stored, if there is one. */
  take(): string | undefined;
  /** Resolves when nothing is left to be stored. Never fails. */
  end(): Promise<void>;
}

const never = new AbortController().signal;

/**
 * Creates the place where values wait while another one is stored.
 *
 * After a failure all further values fail in the same way.
 *
 * @param options.everyMs - The time between the starts of two calls of `store`, at least.
 */
export function keepLatest(
  store: (json: string) => Promise<void>,
  { everyMs }: { everyMs: number },
): Latest {
  const timer = createWaker();
  let next: { json: string; stored: PromiseWithResolvers<void> } | undefined;
  let sending: Promise<void> | undefined;
  let failure: { error: unknown } | undefined;
  let startedAt = Number.NEGATIVE_INFINITY;

  /** Fails the value that came during a call which failed. */
  function drop(error: unknown): void {
    next?.stored.reject(error);
    next = undefined;
  }

  async function send(): Promise<void> {
    while (next) {
      const pauseMs = startedAt + everyMs - performance.now();
      if (pauseMs > 0) await timer.wait(pauseMs, never);
      // It may have been taken back meanwhile.
      if (!next) break;
      const { json, stored } = next;
      next = undefined;
      startedAt = performance.now();
      try {
        await store(json);
        stored.resolve();
      } catch (error) {
        failure = { error };
        stored.reject(error);
        drop(error);
      }
    }
    sending = undefined;
  }

  return {
    save(json) {
      const stored = next?.stored ?? Promise.withResolvers<void>();
      // A caller that does not wait for it does not want to hear of it either.
      stored.promise.catch(() => {});
      if (failure) {
        stored.reject(failure.error);
        return stored.promise;
      }
      next = { json, stored };
      sending ??= send();
      return stored.promise;
    },

    take() {
      const taken = next?.json;
      next?.stored.resolve();
      next = undefined;
      timer.wake();
      return taken;
    },

    async end() {
      timer.wake();
      await sending;
    },
  };
}
