import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";
import { openTerminal, type Terminal, tmuxMissing } from "./support/tmux.ts";

const MAIN = fileURLToPath(new URL("../apps/cli/src/clone.mjs", import.meta.url));

const missing = tmuxMissing();
if (missing && process.env.CI) throw new Error(`no terminals here: ${missing}`);
if (missing) console.warn(`the tests in a terminal are skipped: ${missing}`);

describe.skipIf(missing)("loom in a terminal", () => {
  let system: System;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "loom-terminal-"));
    const program = path.join(folder, "loom");
    writeFileSync(
      program,
      `#!/bin/sh\nexec '${process.execPath}' --conditions=@loom/source '${MAIN}' "$@"\n`,
    );
    chmodSync(program, 0o755);
    system = await startSystem();
    await system.startAgent("tower", ["big"], {
      slots: 4,
      env: { LOOM_CODE_KEY: system.codeKey, LOOM_EXEC: "any", LOOM_EXEC_ON_HUB: "1" },
    });
  });
  afterAll(async () => {
    await system?.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  /** A terminal of somebody who is logged in. */
  async function open(env: Record<string, string> = {}): Promise<Terminal> {
    const terminal = await openTerminal({
      PATH: `${folder}:${process.env.PATH}`,
      HOME: folder,
      LOOM_CONFIG_DIR: folder,
      LOOM_URL: system.url,
      LOOM_TOKEN: system.token,
      ...env,
    });
    onTestFinished(() => terminal[Symbol.asyncDispose]());
    await shows(terminal, /^\$$/m);
    return terminal;
  }

  /** A line of a command that ended by Ctrl-C; the terminal may have echoed the key before it. */
  const echoed = (line: string) => new RegExp(`^(\\^C)?${line}$`, "m");
  const shows = (terminal: Terminal, wanted: RegExp) =>
    expect.poll(() => terminal.screen()).toMatch(wanted);

  /** The shell is back, echoes what is typed, and shows its cursor. */
  async function isAsBefore(terminal: Terminal, exit: number) {
    await expect.poll(() => terminal.isOnOtherScreen()).toBe(false);
    // The prompt, after everything that the program had to say.
    await shows(terminal, /\n\$$/);
    await terminal.type("echo exit=$? && stty -a | grep -o ' -*echo ' && echo $((6 * 7))\n");
    await shows(terminal, /^42$/m);
    const screen = await terminal.screen();
    expect(screen).toMatch(new RegExp(`^exit=${exit}\\n echo\\n42$`, "m"));
    expect(await terminal.isCursorShown()).toBe(true);
  }

  test.for([
    ["q", 0],
    ["C-c", 0],
  ] as const)(
    "top redraws, follows the size, and ends on %s with the terminal as before",
    async ([key, exit]) => {
      const terminal = await open();
      await terminal.type("echo before; loom top --every 200ms\n");
      await shows(terminal, /^2 nodes, 0 of \d+ slots busy/);
      expect(await terminal.isOnOtherScreen()).toBe(true);
      expect(await terminal.isCursorShown()).toBe(false);
      const paused = { note: "a long reason ".repeat(6) };
      expect((await system.call("POST", "/nodes/tower/pause", paused)).status).toBe(200);
      await shows(terminal, /^tower +paused .*a long reason/m);
      await terminal.resize(40, 10);
      await expect
        .poll(async () => (await terminal.screen()).split("\n"))
        .toEqual(
          expect.arrayContaining([
            expect.stringMatching(/^tower +paused .{0,40}$/),
            expect.stringMatching(/^q ends it$/),
          ]),
        );
      expect((await terminal.screen()).split("\n").length).toBeLessThanOrEqual(10);
      await terminal.resize(100, 30);
      expect((await system.call("POST", "/nodes/tower/resume", {})).status).toBe(200);
      await shows(terminal, /^tower +active/m);
      await terminal.press(key);
      await isAsBefore(terminal, exit);
      expect(await terminal.screen()).toContain("before");
    },
  );

  test("Ctrl-C cancels a command, which may end in its own way", async () => {
    const terminal = await open();
    const script = `trap "echo caught; exit 5" INT TERM; echo ready; while :; do sleep 0.1; done`;
    await terminal.type(`loom exec --host tower -- sh -c '${script}'\n`);
    await shows(terminal, /^ready$/m);
    await terminal.press("C-c");
    await shows(terminal, echoed("caught"));
    await isAsBefore(terminal, 130);
  });

  test("a second Ctrl-C leaves a command that does not end, and says how to follow it", async () => {
    const terminal = await open();
    const script = `trap "echo no" INT TERM; echo ready; while :; do sleep 0.1; done`;
    await terminal.type(`loom exec --host tower -- sh -c '${script}'\n`);
    await shows(terminal, /^ready$/m);
    await terminal.press("C-c");
    await shows(terminal, echoed("no"));
    await terminal.press("C-c");
    await shows(terminal, /^it goes on; follow it: loom attach [0-9a-f]{8}$/m);
    await isAsBefore(terminal, 130);
  });

  test("login hides the token, and logs in", async () => {
    const terminal = await open({ LOOM_URL: "", LOOM_TOKEN: "" });
    await terminal.type(`loom login ${system.url}\n`);
    await shows(terminal, /token.*: ?$/m);
    await terminal.type(`${system.token}\n`);
    await shows(terminal, /^logged in to /m);
    expect(await terminal.history()).not.toContain(system.token);
    await isAsBefore(terminal, 0);
  });

  test("Ctrl-C at the question for the token leaves a terminal that echoes", async () => {
    const terminal = await open({ LOOM_URL: "", LOOM_TOKEN: "" });
    await terminal.type(`loom login ${system.url}\n`);
    await shows(terminal, /token.*: ?$/m);
    await terminal.type("half of it");
    await terminal.press("C-c");
    await isAsBefore(terminal, 130);
    expect(await terminal.history()).not.toContain("half of it");
  });

  test("a closed pipe ends a command without a word", async () => {
    const terminal = await open();
    await terminal.type("loom --help | head -1; loom ps | head -1; loom runs --json | head -c 1\n");
    await shows(terminal, /^\{\$$/m);
    expect(await terminal.screen()).not.toMatch(/EPIPE|Error|at \S+:\d+/);
  });
});
