import { execFile, spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Why no terminal can be made here; undefined where it can. */
export const tmuxMissing = (): string | undefined =>
  spawnSync("tmux", ["-V"]).status === 0 ? undefined : "tmux is not installed";

/** A terminal as a person has it, with a shell in it. */
export interface Terminal {
  /** Types text. Enter is a line feed. */
  type(text: string): Promise<void>;
  /** Presses a key by tmux's name for it, such as `C-c`. */
  press(key: string): Promise<void>;
  /** What is on the screen now, with trailing blank lines left out. */
  screen(): Promise<string>;
  /** Everything that was printed, with what has left the screen above. */
  history(): Promise<string>;
  resize(columns: number, rows: number): Promise<void>;
  /** Whether a program has the other screen, on which it draws without touching what was printed. */
  isOnOtherScreen(): Promise<boolean>;
  /** Whether the cursor is seen. */
  isCursorShown(): Promise<boolean>;
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Opens a terminal under a tmux server of its own, with a shell whose prompt is `$ `.
 *
 * @param env - The whole environment of the shell, besides what a terminal needs.
 * @param options.cwd - Where the shell begins.
 * @param options.columns - Default 80, beside 24 rows.
 */
export async function openTerminal(
  env: Readonly<Record<string, string>>,
  { cwd = "/", columns = 80 }: { cwd?: string; columns?: number } = {},
): Promise<Terminal> {
  const server = ["-L", `loom-${randomUUID()}`, "-f", "/dev/null"];
  const tmux = async (...args: string[]) => (await run("tmux", [...server, ...args])).stdout;
  const variables = { ...env, PS1: "$ ", TERM: "screen" };
  const given = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
  const size = ["-x", String(columns), "-y", "24"];
  await tmux("new-session", "-d", "-c", cwd, ...size, "--", "env", "-i", ...given, "sh");
  const pane = async (format: string) => (await tmux("display-message", "-p", format)).trim();
  return {
    type: async (text) => void (await tmux("send-keys", "-l", "--", text)),
    press: async (key) => void (await tmux("send-keys", "--", key)),
    screen: async () => (await tmux("capture-pane", "-p")).trimEnd(),
    history: async () => (await tmux("capture-pane", "-p", "-J", "-S", "-")).trimEnd(),
    resize: async (columns, rows) =>
      void (await tmux("resize-window", "-x", String(columns), "-y", String(rows))),
    isOnOtherScreen: async () => (await pane("#{alternate_on}")) === "1",
    isCursorShown: async () => (await pane("#{cursor_flag}")) === "1",
    [Symbol.asyncDispose]: async () => void (await tmux("kill-server").catch(() => {})),
  };
}
