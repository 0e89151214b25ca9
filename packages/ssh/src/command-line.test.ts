import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { beginLine, parseLine, printLine } from "./command-line.ts";
import { defineCommands } from "./define-commands.ts";
import { quote } from "./quote.ts";

const NONCE = "0123456789abcdef".repeat(2);
const BEGIN = beginLine(NONCE);

const commands = defineCommands({
  script: { args: z.tuple([z.string()]), argv: (script) => ["sh", "-c", script] },
  print: {
    args: z.tuple([z.string(), z.number(), z.boolean()]),
    argv: (...args) => ["echo", `${args}`],
  },
});

/** Runs a line as sshd does: in a shell that leads a process group, with a pipe as its input. */
function start(shell: string, script: string, limitSeconds = 60) {
  const child = spawn(
    shell,
    ["-c", printLine(commands.script(script), { limitSeconds, nonce: NONCE })],
    {
      detached: true,
      stdio: ["pipe", "pipe", "pipe"],
    },
  );
  const done = Promise.all([text(child.stdout), text(child.stderr), once(child, "close")]).then(
    ([stdout, stderr, [code, signal]]) => ({ stdout, stderr, code, signal }),
  );
  return { child, done };
}

/** Every command begins with the begin line, so it is skipped here. */
const says = (child: ReturnType<typeof start>["child"], word: string) =>
  new Promise<void>((resolve) => {
    child.stdout.on("data", (chunk: Buffer) => {
      if (chunk.includes(word)) resolve();
    });
  });

describe.for(["sh", "bash"])("a line in %s", (shell) => {
  test.for([0, 1, 3, 126, 255])("ends with exit code %i of the command", async (code) => {
    const { done } = start(shell, `echo out; echo err >&2; exit ${code}`);
    expect(await done).toEqual({
      stdout: `${BEGIN}out\n`,
      stderr: `${BEGIN}err\n`,
      code,
      signal: null,
    });
  });

  test("gives the command no input", async () => {
    const { done } = start(shell, "cat; echo end");
    expect(await done).toMatchObject({ stdout: `${BEGIN}end\n`, code: 0 });
  });

  test("ends the command when its input ends", async () => {
    const { child, done } = start(shell, "echo started; sleep 60");
    await says(child, "started");
    child.stdin.end();
    expect(await done).toMatchObject({ code: null, signal: "SIGKILL" });
  });

  test("lets the command finish on SIGTERM", async () => {
    const { child, done } = start(
      shell,
      "trap 'echo bye; exit' TERM; echo started; sleep 60 & wait",
    );
    await says(child, "started");
    child.stdin.end();
    expect(await done).toMatchObject({ stdout: expect.stringContaining("bye") });
  });

  test("ends the command at the limit", async () => {
    const { done } = start(shell, "sleep 60", 1);
    expect(await done).toMatchObject({ code: null, signal: "SIGKILL" });
  });
});

describe("parseLine", () => {
  test("reads name, arguments and limit from a line of printLine", () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[ -~]*$/),
        fc.integer(),
        fc.boolean(),
        (words, number, flag) => {
          fc.pre(!words.startsWith("-") && number >= 0);
          const line = printLine(commands.print(words, number, flag), {
            limitSeconds: 70,
            nonce: NONCE,
          });
          expect(parseLine(line)).toEqual({
            name: "print",
            args: [words, number, flag],
            limitSeconds: 70,
            nonce: NONCE,
          });
        },
      ),
    );
  });

  const line = (...words: string[]) => `exec sh -c ${["script", ...words].map(quote).join(" ")}`;
  test.for([
    "",
    "id",
    "sh -c id",
    "exec sh -c id",
    "scp -t /tmp",
    "internal-sftp",
    line(),
    line("loom-ssh", "2", NONCE, "70", "print", "[]"),
    line("other", "1", NONCE, "70", "print", "[]"),
    line("loom-ssh", "1", "70", "print", "[]"),
    line("loom-ssh", "1", "\n", "70", "print", "[]"),
    line("loom-ssh", "1", NONCE, "0", "print", "[]"),
    line("loom-ssh", "1", NONCE, "1e9", "print", "[]"),
    line("loom-ssh", "1", NONCE, "1000000", "print", "[]"),
    line("loom-ssh", "1", NONCE, "70", "print"),
    line("loom-ssh", "1", NONCE, "70", "print", "["),
    line("loom-ssh", "1", NONCE, "70", "print", "{}"),
    line("loom-ssh", "1", NONCE, "70", "print", "[null]"),
    line("loom-ssh", "1", NONCE, "70", "print", '[["a"]]'),
    `${line("loom-ssh", "1", "70", "print", "[]")}; id`,
    `${line("loom-ssh", "1", "70", "print", "[]")}\nid`,
    `id; ${line("loom-ssh", "1", "70", "print", "[]")}`,
    line("loom-ssh", "1", NONCE, "70", "print", "[]", "x".repeat(70_000)),
  ])("refuses %j", (text) => {
    expect(parseLine(text)).toBeNull();
  });
});
