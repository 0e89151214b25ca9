import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { type ChildProcessHandle, startProcess } from "@loom/local-db";

/** A network of its own: no interface, route or port is shared with the system's. */
export interface Namespace extends AsyncDisposable {
  /** What `ip link add … netns` calls it. */
  pid: number;
  /** Runs `ip` inside, such as `"link set lo up"`. */
  ip(command: string): Promise<void>;
  /** Runs a program inside to its end, and returns its output. */
  run(argv: readonly [string, ...string[]]): Promise<string>;
  /** Starts a TypeScript program inside; ready when it has printed its first line. */
  start(
    program: URL,
    options: object,
    onLine?: (line: string) => void,
  ): Promise<ChildProcessHandle>;
  /** Starts any program inside; ready when it has printed its first line. */
  spawn(
    argv: readonly [string, ...string[]],
    options?: { env?: NodeJS.ProcessEnv; onLine?: (line: string) => void },
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
 *
 * @param options.ownRun - With a `/run` of its own, where a played tailscaled can have its usual place.
 */
export async function createNamespace({ ownRun = false } = {}): Promise<Namespace> {
  const mount = ownRun ? "mount -t tmpfs tmpfs /run && mkdir /run/tailscale && " : "";
  const spaces = ownRun ? ["--net", "--mount"] : ["--net"];
  const hold = `ip link set lo up && ${mount}echo up && exec sleep infinity`;
  const holder = await startAndAwaitLine("unshare", [...spaces, "sh", "-c", hold]);
  const entering = ["--target", String(holder.pid), ...spaces];
  const inside = (command: string, args: readonly string[]): [string, string[]] => [
    "nsenter",
    [...entering, command, ...args],
  ];
  return {
    pid: holder.pid,
    async ip(command) {
      await promisify(execFile)(...inside("ip", command.split(" ")));
    },
    start(program, options, onLine) {
      const args = ["--conditions=@loom/source", program.pathname, JSON.stringify(options)];
      return startAndAwaitLine(...inside(process.execPath, args), onLine);
    },
    async run([command, ...args]) {
      return (await promisify(execFile)(...inside(command, args))).stdout;
    },
    spawn([command, ...args], { env, onLine } = {}) {
      return startAndAwaitLine(...inside(command, args), onLine, env);
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
  env?: NodeJS.ProcessEnv,
): Promise<ChildProcessHandle> {
  const first = Promise.withResolvers<void>();
  const child = await startProcess(command, args, {
    stopSignal: "SIGTERM",
    ...(env && { env }),
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
