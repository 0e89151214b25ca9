import { spawn } from "node:child_process";
import { Socket } from "node:net";
import { fileURLToPath } from "node:url";

export interface HeldProcess {
  readonly kind: "process";
  /** Leader of a process group. */
  readonly pid: number;
  readonly stopSignal: NodeJS.Signals;
  readonly graceMs: number;
}

export type HeldItem = HeldProcess | { readonly kind: "directory"; readonly path: string };

/** One line of JSON to the reaper: hold an item or, when it is `null`, let go of it. */
export interface ReaperMessage {
  readonly id: number;
  readonly item: HeldItem | null;
}

interface Reaper {
  /** Resolves when the process runs; rejects when it cannot. */
  readonly ready: Promise<void>;
  tell(message: ReaperMessage): void;
}

/** What this process must not leave behind, in order of arrival. */
const held = new Map<number, HeldItem>();
let lastId = 0;
let reaper: Reaper | undefined;

/**
 * Makes sure that a process or a directory does not outlive this process, whatever way it ends.
 *
 * @returns A function that lets go of the item.
 * @throws Error when the reaper process cannot be started.
 */
export async function hold(item: HeldItem): Promise<() => void> {
  lastId += 1;
  const id = lastId;
  held.set(id, item);
  const letGo = () => {
    held.delete(id);
    reaper?.tell({ id, item: null });
  };
  if (reaper) reaper.tell({ id, item });
  else reaper = startReaper();
  try {
    await reaper.ready;
  } catch (error) {
    letGo();
    throw error;
  }
  return letGo;
}

function startReaper(): Reaper {
  // This file runs as a source or bundled into dist/index.js, each with a reaper beside it.
  const file = import.meta.url.endsWith(".ts") ? "./reaper.ts" : "./reaper.js";
  const child = spawn(process.execPath, [fileURLToPath(new URL(file, import.meta.url))], {
    stdio: ["pipe", "pipe", "ignore"],
    // A session of its own, so that Ctrl-C and a closing terminal pass it by.
    detached: true,
    cwd: "/",
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  const { stdin, stdout } = child;
  stdin.on("error", () => undefined); // it has ended: "exit" follows
  const tell = (message: ReaperMessage) => stdin.write(`${JSON.stringify(message)}\n`);
  for (const [id, item] of held) tell({ id, item });

  const ready = new Promise<void>((resolve, reject) => {
    stdout.once("data", () => resolve());
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      reject(new Error(`the reaper process ended as it started: ${signal ?? code}`)),
    );
  });
  ready.then(
    () => {
      // From here on it must not keep this process running. (Node types no unref on stdin.)
      child.unref();
      if (stdin instanceof Socket) stdin.unref();
      stdout.destroy();
      // Somebody killed it: another one takes over and is told everything again.
      child.once("exit", () => {
        reaper = held.size > 0 ? startReaper() : undefined;
      });
    },
    () => {
      reaper = undefined;
    },
  );
  return { ready, tell };
}
