import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type ChildProcessHandle, startProcess } from "@loom/local-db";

/** A network of its own: no interface, route or port is shared with the system's. */
export interface Namespace extends AsyncDisposable {
  /** What `ip link add … netns` calls it. */
  pid: number;
  /** Runs `ip` inside, such as `"link set lo up"`. */
  ip(command: string): Promise<void>;
  /** Starts a TypeScript program inside; ready when it has printed its first line. */
  start(
    program: URL,
    options: object,
    onLine?: (line: string) => void,
  ): Promise<ChildProcessHandle>;
}

/** Why there can be no namespaces here; `undefined` when there can. */
export async function namespacesMissing(): Promise<string | undefined> {
  try {
    await using _ = await createNamespace();
    return undefined;
  } catch (error) {
    return `it takes root, util-linux and iproute2; ${error}`;
  }
}

/**
 * Creates a namespace that has a process for its name, and ends with it: unlike one of `ip netns`,
 * it cannot be left behind, however this process ends.
 */
export async function createNamespace(): Promise<Namespace> {
  const hold = ["--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"];
  const holder = await startAndAwaitLine("unshare", hold);
  const inside = (command: string, args: string[]) =>
    ["nsenter", ["--target", String(holder.pid), "--net", command, ...args]] as const;
  return {
    pid: holder.pid,
    async ip(command) {
      await promisify(execFile)(...inside("ip", command.split(" ")));
    },
    start(program, options, onLine) {
      const args = ["--conditions=@loom/source", program.pathname, JSON.stringify(options)];
      return startAndAwaitLine(...inside(process.execPath, args), onLine);
    },
    async [Symbol.asyncDispose]() {
      await holder.stop();
    },
  };
}

async function startAndAwaitLine(
  command: string,
  args: readonly string[],
  onLine?: (line: string) => void,
): Promise<ChildProcessHandle> {
  const first = Promise.withResolvers<void>();
  const child = await startProcess(command, args, {
    stopSignal: "SIGTERM",
    onLine(line, stream) {
      if (stream === "stderr") return;
      first.resolve();
      onLine?.(line);
    },
  });
  void child.exited.then(({ log }) => first.reject(new Error(`${command} ended:\n${log}`)));
  await first.promise;
  return child;
}
