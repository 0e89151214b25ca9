import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** Starts a file of this folder in a process of its own, and waits for the first thing it says. */
export async function startProcess<Said>(
  file: string,
  ...args: string[]
): Promise<{ child: ChildProcess; said: Said }> {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    execArgv: ["--conditions=@loom/source"],
  });
  const [said] = (await once(child, "message")) as [Said];
  return { child, said };
}

/** Ends a process that ends when its parent lets go of it. */
export async function release(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.disconnect();
  await exited;
}
