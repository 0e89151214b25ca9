/**
 * Shares one run of a task among all who ask while it is under way.
 *
 * A caller who gives up leaves alone; the task is called off when the last one has left.
 */
export function singleFlight<T>(
  task: (signal: AbortSignal) => Promise<T>,
): (signal?: AbortSignal) => Promise<T> {
  let flight: { result: Promise<T>; controller: AbortController; waiting: number } | undefined;

  const start = () => {
    const controller = new AbortController();
    return { result: task(controller.signal), controller, waiting: 0 };
  };

  return async (signal) => {
    signal?.throwIfAborted();
    flight ??= start();
    const mine = flight;
    mine.waiting += 1;
    try {
      return await orAborted(mine.result, signal);
    } finally {
      mine.waiting -= 1;
      if (mine.waiting === 0) {
        flight = undefined;
        mine.controller.abort();
      }
    }
  };
}

function orAborted<T>(result: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return result;
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    void result.then(resolve, reject).finally(() => signal.removeEventListener("abort", leave));
  });
}
