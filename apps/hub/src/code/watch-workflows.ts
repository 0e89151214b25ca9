import { type FSWatcher, readdirSync, watch } from "node:fs";
import { stat } from "node:fs/promises";
import path from "node:path";
import { findFolderModules, ownWorkflows } from "@loom/program";
import type { FilePlanner, Log } from "@loom/worker";

/** The wait after a change: editors write a file in several steps, and a checkout changes many files. */
const SETTLE_MS = 60;
/** The polling interval for file systems that report no changes, such as those of a network. */
const POLL_MS = 5_000;

/** By how much the time of a file may be behind the clock: it is as of the kernel's last tick. */
const TICK_MS = 20;

/** The watched folders and files. */
interface Watched {
  /** Folders in which a new file may be a workflow. */
  readonly folders: readonly string[];
  /** The source files of bundles. */
  readonly files: ReadonlySet<string>;
}

/**
 * Watches files until the signal aborts.
 *
 * It watches the folder of each file and not the file itself, because a watcher would lose a file that an editor
 * replaces. Node's own watcher suffices for that. It never descends into `node_modules`.
 *
 * @param options.watched - Asked again after each change.
 * @param options.onChange - Called with the paths that changed, one call at a time.
 */
async function watchWorkflows(
  {
    watched,
    onChange,
    log,
  }: {
    watched: () => Watched;
    onChange: (changed: ReadonlySet<string>) => Promise<void>;
    log: Log;
  },
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const watchers = new Map<string, FSWatcher>();
  /**
   * When each file was changed last, as of before it was read. So a change that no watcher reports is found: on file
   * systems that report none, and while a file is read that was not watched yet.
   */
  let times = new Map<string, number>();
  /** When the reading of the files began. At first this process has read them. */
  let readSince = performance.timeOrigin;
  const changed = new Set<string>();
  let timer: NodeJS.Timeout | undefined;
  let working = Promise.resolve();

  function note(file: string): void {
    changed.add(file);
    clearTimeout(timer);
    timer = setTimeout(() => {
      working = working.then(report).catch((err: unknown) => {
        log.error({ err }, "changed workflow files could not be loaded");
      });
    }, SETTLE_MS);
  }

  async function report(): Promise<void> {
    readSince = Date.now();
    for (const file of await findChanged()) changed.add(file);
    const files = new Set(changed);
    changed.clear();
    if (files.size > 0 && !signal.aborted) await onChange(files);
    await follow();
  }

  /** Watches the folders that matter now, and no others. */
  async function follow(): Promise<void> {
    const { folders, files } = watched();
    const own = [...files].filter((file) => !file.includes(`${path.sep}node_modules${path.sep}`));
    const wanted = new Set([...folders, ...own.map((file) => path.dirname(file))]);
    for (const [folder, watcher] of watchers) {
      if (wanted.has(folder)) continue;
      watcher.close();
      watchers.delete(folder);
    }
    for (const folder of wanted) if (!watchers.has(folder)) begin(folder);
    const before = times;
    times = new Map();
    for (const file of own) {
      const known = before.get(file);
      const time = known ?? (await timeOf(file));
      times.set(file, time);
      // Nobody watched it, and it may have been read before this change.
      if (known === undefined && time > readSince - TICK_MS) note(file);
    }
  }

  function begin(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => {
        if (name !== null) note(path.join(folder, name));
      });
      // The folder is gone, for example. Polling covers the rest.
      watcher.on("error", () => {
        watcher.close();
        watchers.delete(folder);
      });
      watchers.set(folder, watcher);
    } catch (err) {
      log.warn({ folder, err }, "the folder cannot be watched, so a change is seen after 5 s");
    }
  }

  /** The files that have changed since they were looked at last. */
  async function findChanged(): Promise<string[]> {
    const found: string[] = [];
    for (const [file, before] of times) {
      const now = await timeOf(file);
      if (now === before) continue;
      times.set(file, now);
      found.push(file);
    }
    return found;
  }

  async function poll(): Promise<void> {
    for (const file of await findChanged()) note(file);
  }

  await follow();
  const polling = setInterval(() => void poll(), POLL_MS);
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
  clearInterval(polling);
  clearTimeout(timer);
  for (const watcher of watchers.values()) watcher.close();
  await working;
}

/**
 * Keeps a planner's workflows equal to those of a folder until the signal aborts. A saved file is a new version. A broken
 * file keeps its last good version.
 */
export async function watchFolder(
  folder: string | undefined,
  { planner, log, signal }: { planner: FilePlanner; log: Log; signal: AbortSignal },
): Promise<void> {
  if (folder === undefined) return;
  await planner.loaded;
  const root = path.resolve(folder);
  await watchWorkflows(
    {
      watched: () => ({ folders: [root, ...foldersIn(root)], files: planner.inputs }),
      async onChange(changed) {
        const startedAt = performance.now();
        const modules = await findFolderModules(folder);
        await planner.reload({ modules, own: ownWorkflows(), changed });
        const tookMs = Math.round(performance.now() - startedAt);
        log.info({ changed: changed.size, tookMs }, "workflow files loaded again");
      },
      log,
    },
    { signal },
  );
}

/** The folders in which `<folder>/workflow.ts` may be. */
function foldersIn(root: string): string[] {
  try {
    return readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !/^\.|^node_modules$/.test(entry.name))
      .map((entry) => path.join(root, entry.name));
  } catch {
    return [];
  }
}

/** The time of a file's last change; 0 while the file does not exist. */
const timeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ mtimeMs }) => mtimeMs,
    () => 0,
  );
