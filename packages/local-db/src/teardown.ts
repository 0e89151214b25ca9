export interface Teardown {
  /** Adds a step, which runs before those added earlier. */
  add(step: () => Promise<unknown>): void;
  /** Runs all steps once, also after one has failed; a second call joins the first. */
  run(): Promise<void>;
}

/** What has to be undone, in reverse order of what was done. */
export function createTeardown(): Teardown {
  const steps: (() => Promise<unknown>)[] = [];
  let running: Promise<void> | undefined;
  async function runAll(): Promise<void> {
    const errors: unknown[] = [];
    for (const step of steps.reverse()) {
      await step().catch((error) => errors.push(error));
    }
    if (errors.length > 0) throw new AggregateError(errors, "not everything could be stopped");
  }
  return {
    add(step) {
      steps.push(step);
    },
    run() {
      running ??= runAll();
      return running;
    },
  };
}
