import { readdirSync, readFileSync } from "node:fs";

/** From <sys/prctl.h> and <sys/wait.h> of Linux. */
const PR_SET_CHILD_SUBREAPER = 36;
const P_ALL = 0;
const WNOHANG = 1;
const WEXITED = 4;
const WNOWAIT = 0x0100_0000;
/** `siginfo_t` has 128 bytes. */
const SIGINFO_BYTES = 128;

/** The functions of the C library that are called. */
interface LibC {
  prctl(option: number, ...values: [bigint, bigint, bigint, bigint]): number;
  waitpid(pid: number, status: bigint, options: number): number;
  waitid(kind: number, id: number, info: Buffer, options: number): number;
}

interface Ffi {
  dlopen(
    library: null,
    definitions: Readonly<Record<string, { arguments: string[]; return: string }>>,
  ): { functions: unknown };
}

let opened: LibC | null | undefined;

/** Null where it cannot be called: on another system than Linux, or in a Node without `node:ffi`, which is experimental. */
function libC(): LibC | null {
  opened ??= openLibC();
  return opened;
}

function openLibC(): LibC | null {
  if (process.platform !== "linux") return null;
  // Loading it prints a warning that it is experimental, which would be in a step's log.
  const { emitWarning } = process;
  process.emitWarning = () => {};
  try {
    const ffi = process.getBuiltinModule("node:ffi") as Ffi | undefined;
    const word = "u64";
    const library = ffi?.dlopen(null, {
      prctl: { arguments: ["i32", word, word, word, word], return: "i32" },
      waitpid: { arguments: ["i32", "pointer", "i32"], return: "i32" },
      waitid: { arguments: ["i32", "i32", "pointer", "i32"], return: "i32" },
    });
    return (library?.functions as LibC | undefined) ?? null;
  } catch {
    // The library lacks a function, or `--permission` is set without `--allow-ffi`.
    return null;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/**
 * Makes this process the parent of every descendant whose own parent ends (`PR_SET_CHILD_SUBREAPER`),
 * instead of the machine's first process. Returns false where that is not possible.
 */
export function becomeSubreaper(): boolean {
  return libC()?.prctl(PR_SET_CHILD_SUBREAPER, 1n, 0n, 0n, 0n) === 0;
}

/** Removes a child that has ended from the table of processes. Not for a child that Node has started. */
export function reap(pid: number): void {
  libC()?.waitpid(pid, 0n, WNOHANG);
}

/** Whether this process has no child at all, running or ended. False where the system cannot be asked. */
export function isChildless(): boolean {
  const peeked = peekAtChildren();
  return peeked === undefined ? hasNoListedChild() : peeked.result === -1;
}

/** Asks proc_pid_task_children(5) of each thread, which a kernel may lack. */
function hasNoListedChild(): boolean {
  try {
    const threads = readdirSync("/proc/self/task");
    return threads.every((id) => readFileSync(`/proc/self/task/${id}/children`).length === 0);
  } catch {
    return false;
  }
}

/** Whether a child of this process has ended and nobody has reaped it. False where the system cannot be asked. */
export const hasEndedChild = (): boolean => {
  const peeked = peekAtChildren();
  // Without such a child, `si_signo` stays 0.
  return peeked?.result === 0 && peeked.info.readInt32LE(0) !== 0;
};

function peekAtChildren(): { result: number; info: Buffer } | undefined {
  const info = Buffer.alloc(SIGINFO_BYTES);
  const result = libC()?.waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT);
  return result === undefined ? undefined : { result, info };
}
