import { type ChildProcess, spawn } from "node:child_process";
import { GRACE_MS } from "../command-line.ts";
import { RefusedError } from "./load-commands.ts";

/** Variables that a program may need. All others may come from the client. */
const ENVIRONMENT = ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "TZ", "XDG_RUNTIME_DIR"];

const SIGNALS = ["SIGTERM", "SIGHUP", "SIGINT"] as const;

/** The end of a command. */
interface End {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Runs a program without a shell, as leader of a process group. The group is ended when the client
 * closes its side or is gone, at the limit, and when sshd ends the gate. The program writes
 * directly to the gate's output.
 */
export async function superviseCommand(
  [program = "", ...args]: readonly string[],
  { limitMs }: { limitMs: number },
): Promise<End> {
  const child = spawn(program, args, {
    detached: true,
    stdio: ["ignore", "inherit", "inherit"],
    env: Object.fromEntries(ENVIRONMENT.map((name) => [name, process.env[name]])),
  });
  let kill: NodeJS.Timeout | undefined;
  const stop = () => {
    if (kill) return;
    signalGroup(child, "SIGTERM");
    kill = setTimeout(() => signalGroup(child, "SIGKILL"), GRACE_MS);
  };
  process.stdin.once("end", stop).once("error", stop).resume();
  const limit = setTimeout(stop, limitMs);
  for (const signal of SIGNALS) process.on(signal, stop);

  const end = await new Promise<End>((resolve, reject) => {
    child.once("error", (cause: NodeJS.ErrnoException) =>
      reject(new RefusedError(`${program} cannot be started: ${cause.message}`, { cause })),
    );
    child.once("exit", (code, signal) => resolve({ code, signal }));
  });
  // The rest of its group ends with it: at once if the command was stopped.
  signalGroup(child, kill ? "SIGKILL" : "SIGTERM");
  clearTimeout(limit);
  clearTimeout(kill);
  process.stdin.destroy();
  for (const signal of SIGNALS) process.off(signal, stop);
  return end;
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  // The program did not start. A group number of 0 would be our own group.
  if (pid === undefined) return;
  try {
    process.kill(-pid, signal);
  } catch (error) {
    // No process is left.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
