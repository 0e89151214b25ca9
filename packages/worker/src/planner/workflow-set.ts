import type { BundledFile, BundleError } from "@loom/code/bundle";
import { EXEC_WORKFLOW, type WorkflowManifest } from "@loom/workflow";
import type { WorkflowModule } from "../code/step-code.ts";
import type { Log } from "../log.ts";
import { createPlaces } from "../wait.ts";
import type { PlannerPool } from "./planner-pool.ts";
import type { Answered } from "./planner-process.ts";
import { fileOf } from "./workflow-files.ts";
import {
  bundleProblem,
  duplicateProblem,
  fileProblem,
  importProblem,
  type WorkflowProblem,
} from "./workflow-problem.ts";

/** The number of files bundled at a time. A bundle takes the memory of everything that it imports. */
const BUNDLES_AT_ONCE = 3;

/** Which files have workflows. */
export interface WorkflowFiles {
  /** URLs of modules that export workflows. If two workflows have the same name, the first one is used. */
  modules: readonly string[];
  /** More modules. A workflow in `modules` replaces one of the same name in these. */
  own?: readonly string[];
}

/** Makes bundles of workflow files. */
export interface WorkflowCode {
  /** @throws BundleError */
  bundle(file: string): Promise<BundledFile>;
  /** Replaces places in bundles by those in the author's files. */
  toAuthor(text: string): Promise<string>;
}

/** The bundle that a workflow is in. */
export interface PlannedModule extends WorkflowModule {
  /** Its digest: the workflow's version. */
  readonly version: string;
  /** Native modules that it needs. */
  readonly externals: readonly string[];
}

/** The result of a workflow file when it could last be used. */
interface Good {
  manifests: readonly WorkflowManifest[];
  bundle: BundledFile;
}

/** Workflow files, and the workflows that they export. */
export interface WorkflowSet {
  readonly workflows: ReadonlyMap<string, WorkflowManifest>;
  readonly modules: ReadonlyMap<string, PlannedModule>;
  problems(): readonly WorkflowProblem[];
  revision(): number;
  loading(): string[];
  inputs(): ReadonlySet<string>;
  onChange(listener: () => void): () => void;
  load(options: WorkflowFiles & { changed?: ReadonlySet<string> }): Promise<void>;
}

/** Creates a set without files. */
export function createWorkflowSet({
  code,
  pool,
  log,
}: {
  code: WorkflowCode;
  pool: PlannerPool;
  log: Log;
}): WorkflowSet {
  let sources: string[] = [];
  let own: ReadonlySet<string> = new Set();
  const good = new Map<string, Good>();
  const broken = new Map<string, WorkflowProblem>();
  const inputs = new Map<string, readonly string[]>();
  /** Counts the loads of a module: only the last one's result counts. */
  const turns = new Map<string, number>();
  const workflows = new Map<string, WorkflowManifest>();
  const modules = new Map<string, PlannedModule>();
  const listeners = new Set<() => void>();
  let problems: WorkflowProblem[] = [];
  let revision = 0;
  let rebuilt = Promise.resolve();
  const atOnce = createPlaces({ most: BUNDLES_AT_ONCE });

  async function loadModule(module: string): Promise<void> {
    const turn = (turns.get(module) ?? 0) + 1;
    turns.set(module, turn);
    const file = fileOf(module);
    let bundle: BundledFile | undefined;
    let problem: WorkflowProblem | undefined;
    let manifests: readonly WorkflowManifest[] = [];
    try {
      bundle = await atOnce(() => code.bundle(file));
      const known = good.get(module);
      if (known?.bundle.digest === bundle.digest) manifests = known.manifests;
      else {
        const answer = await pool.ask(bundle.url, { type: "load", module: bundle.url });
        const read = await readAnswer(file, answer, code.toAuthor);
        if ("problem" in read) problem = read.problem;
        else manifests = read.manifests.map((each) => ({ ...each, version: bundle?.digest ?? "" }));
      }
    } catch (error) {
      problem = isBundleError(error)
        ? bundleProblem(error)
        : fileProblem(file, `it cannot be bundled: ${(error as Error).message}`);
      inputs.set(module, isBundleError(error) ? error.inputs : [file]);
    }
    if (turns.get(module) !== turn || !sources.includes(module)) return;
    if (bundle) inputs.set(module, bundle.inputs);
    if (problem) {
      const { message, ...facts } = problem;
      const isNew = JSON.stringify(problem) !== JSON.stringify(broken.get(module));
      const isKept = good.has(module);
      if (isNew) log.error({ ...facts, problem: message, isKept }, "workflow file not used");
      broken.set(module, problem);
    } else if (bundle) {
      if (broken.delete(module)) log.info({ file }, "workflow file is used again");
      good.set(module, { manifests, bundle });
    }
    await rebuild();
  }

  const rebuild = (): Promise<void> => {
    rebuilt = rebuilt.then(rebuildOnce, rebuildOnce);
    return rebuilt;
  };

  /** Rebuilds the results in the order of the modules, however long each took to load. */
  async function rebuildOnce(): Promise<void> {
    const found = new Map<string, { manifest: WorkflowManifest; module: string }>();
    const duplicates: { module: string; workflow: string; other: string }[] = [];
    for (const module of sources) {
      for (const manifest of good.get(module)?.manifests ?? []) {
        const other = found.get(manifest.name);
        if (!other) found.set(manifest.name, { manifest, module });
        else if (!own.has(module) && !isSame(manifest, module, other)) {
          duplicates.push({ module, workflow: manifest.name, other: other.module });
        }
      }
    }
    const notUsed = sources.flatMap((module) => broken.get(module) ?? []);
    for (const { module, workflow, other } of duplicates) {
      notUsed.push(await duplicateProblem(fileOf(module), workflow, fileOf(other)));
    }
    workflows.clear();
    modules.clear();
    for (const [name, { manifest, module }] of found) {
      const bundle = good.get(module)?.bundle;
      if (!bundle) continue;
      workflows.set(name, manifest);
      modules.set(name, { url: bundle.url, version: bundle.digest, externals: bundle.externals });
    }
    problems = notUsed;
    revision += 1;
    for (const listener of listeners) listener();
  }

  /** Whether one of two files only exports again what it imports from the other, as one that lists them does. */
  function isSame(
    manifest: WorkflowManifest,
    module: string,
    other: { manifest: WorkflowManifest; module: string },
  ): boolean {
    const isMadeOf = (one: string, two: string) => inputs.get(one)?.includes(fileOf(two)) === true;
    const contentOf = (each: WorkflowManifest) => JSON.stringify({ ...each, version: "" });
    return (
      (isMadeOf(module, other.module) || isMadeOf(other.module, module)) &&
      contentOf(manifest) === contentOf(other.manifest)
    );
  }

  /** Whether a change of these files may change the result of a module. */
  const isAbout = (module: string, changed: ReadonlySet<string>): boolean =>
    !inputs.has(module) ||
    // A file that did not exist before may fix a broken one.
    broken.has(module) ||
    (inputs.get(module) ?? []).some((file) => changed.has(file));

  return {
    workflows,
    modules,
    problems: () => problems,
    revision: () => revision,
    loading: () => sources.filter((each) => !good.has(each) && !broken.has(each)).map(fileOf),
    inputs: () => new Set([...inputs.values()].flat()),
    onChange(listener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },

    async load({ modules: given, own: more = [], changed }) {
      sources = [...new Set([...given, ...more])];
      own = new Set(more.filter((module) => !given.includes(module)));
      const gone = [...turns.keys()].filter((module) => !sources.includes(module));
      for (const module of gone) {
        for (const known of [turns, good, broken, inputs]) known.delete(module);
      }
      const toLoad = sources.filter((module) => changed === undefined || isAbout(module, changed));
      if (gone.length > 0 && toLoad.length === 0) await rebuild();
      await Promise.all(toLoad.map(loadModule));
    },
  };
}

/** Recognises the error by its fields, because the bundler may not be installed. */
const isBundleError = (error: unknown): error is BundleError =>
  error instanceof Error && error.name === "BundleError";

/** Converts a planner process's answer about an import. */
async function readAnswer(
  file: string,
  answer: Answered,
  toAuthor: WorkflowCode["toAuthor"],
): Promise<{ manifests: readonly WorkflowManifest[] } | { problem: WorkflowProblem }> {
  switch (answer.type) {
    case "loaded": {
      const manifests = JSON.parse(answer.manifests) as WorkflowManifest[];
      if (manifests.some(({ name }) => name === EXEC_WORKFLOW)) {
        const fix = "give the workflow another name";
        return { problem: fileProblem(file, `defines ${EXEC_WORKFLOW}, which is Loom's own`, fix) };
      }
      if (manifests.length > 0) return { manifests };
      const fix = "export what defineWorkflow returns, or move the file into a folder below";
      return { problem: fileProblem(file, "exports no workflow made by defineWorkflow", fix) };
    }
    case "import_failed": {
      const { message, stack, code } = answer.error;
      const error = { code, message: await toAuthor(message), stack: await toAuthor(stack) };
      return { problem: await importProblem(file, error) };
    }
    case "timed_out": {
      const problem = `importing it did not end within ${answer.afterMs / 1_000} s`;
      const fix = "move loops and long waits from the top level of the file into a step";
      return { problem: fileProblem(file, problem, fix) };
    }
    case "ended": {
      const problem = `importing it ended the process, ${answer.how}`;
      const fix =
        "remove the code that ends the process, such as process.exit, from the top level of the file";
      return { problem: fileProblem(file, problem, fix) };
    }
    default:
      return { problem: fileProblem(file, `importing it was answered with ${answer.type}`) };
  }
}
