export interface Teardown {
  /** Adds a step that runs before the steps added earlier. */
  add(step: () => Promise<unknown>): void;
  /** Runs all steps once, even after one has failed. A second call waits for the first. */
  run(): Promise<void>;
}

/** Creates a list of steps that undo what was done, in reverse order. */
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
