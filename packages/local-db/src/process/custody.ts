import { spawn } from "node:child_process";
import { Socket } from "node:net";
import { type HeldItem, REAPER, type ReaperMessage, toLine } from "./reaper.ts";

interface Reaper {
  /** Resolves when the process runs; rejects when it cannot. */
  readonly ready: Promise<void>;
  tell(message: ReaperMessage): void;
}

/** Processes and directories that must not outlive this process, in the order they were added. */
const held = new Map<number, HeldItem>();
let lastId = 0;
let reaper: Reaper | undefined;

/**
 * Ensures that a process or a directory does not outlive this process, however it ends.
 *
 * @returns A function that releases the item.
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
  const child = spawn("/bin/sh", ["-c", REAPER, "loom-reaper"], {
    stdio: ["pipe", "pipe", "ignore"],
    // The reaper has its own session, so Ctrl-C and a closing terminal do not reach it.
    detached: true,
    cwd: "/",
  });
  const { stdin, stdout } = child;
  stdin.on("error", () => undefined); // it has ended: "exit" follows
  const tell = (message: ReaperMessage) => stdin.write(toLine(message));
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
      // From here on the reaper must not keep this process alive. (Node's types lack unref on
      // stdin.)
      child.unref();
      if (stdin instanceof Socket) stdin.unref();
      stdout.destroy();
      // The reaper was killed: start another one and send it all items again.
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
