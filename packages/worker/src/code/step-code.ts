// A step's code comes from this machine's own files, or from bundles that are fetched by their digest.
import path from "node:path";
import { CodeError, type CodeStore, type SignedCode, type StoredCode } from "@loom/code";
import type { ClaimedJob } from "@loom/queue";
import { parseWorkflowCapability } from "@loom/scheduler";
import type { Log } from "../log.ts";

/** The module with a workflow's code. */
export interface WorkflowModule {
  url: string;
}

/** Finds the module that a job's step is in. */
export interface StepCode {
  /**
   * @returns The URL of its module.
   * @throws CodeError when this node does not have the code and cannot get it.
   */
  open(
    job: Pick<ClaimedJob, "id" | "workflow" | "requires">,
    options: { signal: AbortSignal },
  ): Promise<string>;
}

/** The code of this machine's own workflows, by workflow name: `modules` of a `FilePlanner`. */
export const ownCode = (modules: ReadonlyMap<string, WorkflowModule>): StepCode => ({
  async open({ workflow }) {
    const module = modules.get(workflow);
    if (module) return module.url;
    throw new CodeError("CODE_UNAVAILABLE", `this node has no module for workflow ${workflow}`);
  },
});

/** The workflow's version that a job has to run; undefined if the job names none. */
export const versionOf = ({
  workflow,
  requires,
}: Pick<ClaimedJob, "workflow" | "requires">): string | undefined =>
  requires.map(parseWorkflowCapability).find((code) => code?.name === workflow)?.version;

/** A problem that kept a node from using code. */
export interface CodeFault {
  code: string;
  message: string;
  at: Date;
}

/** Fetched code. It is fetched when first needed, verified, and kept. */
export interface FetchedCode extends StepCode {
  /** The last problem; null once code could be used again. */
  fault(): CodeFault | null;
}

/**
 * Creates a source of code by its digest. Code that is needed several times at once is fetched once.
 *
 * @param options.fetch - Reads signed code from the database; undefined when it is not there.
 * @param options.hasModule - Whether this machine has a native module.
 * @param options.onFault - Called when `fault` changes.
 */
export function createFetchedCode({
  store,
  fetch,
  hasModule,
  log,
  onFault = () => {},
}: {
  store: CodeStore;
  fetch: (digest: string) => Promise<SignedCode | undefined>;
  hasModule: (name: string) => boolean;
  log: Log;
  onFault?: () => void;
}): FetchedCode {
  const fetching = new Map<string, Promise<StoredCode>>();
  let fault: CodeFault | null = null;

  async function get(digest: string): Promise<StoredCode> {
    const startedAt = performance.now();
    const code = await fetch(digest).catch((cause: unknown) => {
      if (cause instanceof CodeError) throw cause;
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new CodeError("CODE_UNAVAILABLE", `the code ${digest} cannot be fetched: ${why}`, {
        cause,
      });
    });
    if (!code) {
      throw new CodeError(
        "CODE_UNAVAILABLE",
        `the code ${digest} is not in the database: start the run again, so that its hub stores it`,
      );
    }
    // Compared with the requested digest, not with the one that the answer names.
    if (code.statement.digest !== digest) {
      throw new CodeError("CODE_DIGEST_MISMATCH", `asked for the code ${digest}, and got another`);
    }
    const stored = await store.write(code);
    const fetchMs = Math.round(performance.now() - startedAt);
    log.info({ digest, name: code.statement.name, fetchMs }, "code fetched");
    return stored;
  }

  async function find(digest: string): Promise<StoredCode> {
    const found = await store.find(digest);
    if (found) return found;
    const running = fetching.get(digest) ?? get(digest).finally(() => fetching.delete(digest));
    fetching.set(digest, running);
    return running;
  }

  function note(changed: CodeFault | null): void {
    if (changed === null && fault === null) return;
    fault = changed;
    onFault();
  }

  return {
    fault: () => fault,

    async open(job, { signal }) {
      const digest = versionOf(job);
      if (digest === undefined) {
        throw new CodeError("CODE_UNAVAILABLE", `job ${job.id} does not say which code it runs`);
      }
      try {
        const { url, externals } = await orAborted(find(digest), signal);
        const missing = externals.filter((name) => !hasModule(name));
        if (missing.length > 0) {
          throw new CodeError(
            "CODE_UNAVAILABLE",
            `the code ${digest} needs ${missing.join(", ")}, which this machine does not have: install it with npm install --prefix ${path.dirname(store.folder)} ${missing.join(" ")}`,
          );
        }
        note(null);
        return url;
      } catch (error) {
        if (error instanceof CodeError) {
          log.warn({ code: error.code, err: error }, "code cannot be used");
          note({ code: error.code, message: error.message, at: new Date() });
        }
        throw error;
      }
    },
  };
}

/** Rejects when the signal aborts. The promise itself goes on, because another job may wait for the same code. */
function orAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  promise.catch(() => {});
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
