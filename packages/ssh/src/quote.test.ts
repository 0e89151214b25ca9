import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { quote, unquote } from "./quote.ts";

/** Words with a meaning for a shell, which fast-check combines. */
const SYNTAX = [
  ";",
  "&&",
  "||",
  "|",
  "&",
  "`id`",
  "$(id)",
  "\u0024{IFS}",
  "$HOME",
  "'",
  '"',
  "'\\''",
  "\\",
  "\n",
  "\r",
  "\t",
  " ",
  ">",
  "<",
  "<<EOF",
  "*",
  "?",
  "[a-z]",
  "~",
  "{a,b}",
  "!",
  "!!",
  "#",
  "A=b",
  "-",
  "--",
  "../",
  "\u{ff1b}",
  "é",
  "é",
  "😀",
  "\u202e",
  "\u0001",
  "\u007f",
];

const word = fc
  .oneof(
    fc.array(fc.constantFrom(...SYNTAX), { maxLength: 8 }).map((parts) => parts.join("")),
    fc.string({ unit: "binary", maxLength: 20 }),
  )
  .filter((text) => text.isWellFormed() && !text.includes("\0"));

/** Returns the words that a shell makes of a line, with NUL after each. */
async function wordsOf(shell: string, line: string): Promise<string[]> {
  const child = spawn(shell, ["-c", `printf '%s\\0' ${line}`], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { HOME: "/expanded", IFS: "x" },
  });
  const [out] = await Promise.all([text(child.stdout), once(child, "close")]);
  return out.split("\0").slice(0, -1);
}

describe("quote", () => {
  test.for(["sh", "bash"])(
    "passes every word through %s unchanged",
    { timeout: 30_000 },
    async (shell) => {
      const words = fc.array(word, { minLength: 1, maxLength: 50 });
      await fc.assert(
        fc.asyncProperty(words, async (given) => {
          expect(await wordsOf(shell, given.map(quote).join(" "))).toEqual(given);
        }),
        { numRuns: 60 },
      );
    },
  );

  test("quotes even harmless words", () => {
    expect(["if", "A=b", "", "ls"].map(quote)).toEqual(["'if'", "'A=b'", "''", "'ls'"]);
  });

  test("refuses text that an argument cannot contain", () => {
    expect(() => quote("a\0b")).toThrow(TypeError);
    expect(() => quote("\ud800")).toThrow(TypeError);
  });
});

describe("unquote", () => {
  test("unquote reverses quote", () => {
    fc.assert(
      fc.property(fc.array(word, { minLength: 1 }), (words) => {
        expect(unquote(words.map(quote).join(" "))).toEqual(words);
      }),
    );
  });

  test.for([
    "",
    "ls",
    "'ls' ; 'id'",
    "'ls';'id'",
    "'ls' $(id)",
    "'ls'  'a'",
    " 'ls'",
    "'ls' ",
    "'ls'\n'id'",
    "'a'\"b\"",
    "'a'b",
    "'a''b'",
    "'a",
    "\\''a'",
    "A='b' 'env'",
    "'a' # 'b'",
  ])("refuses %j", (line) => {
    expect(unquote(line)).toBeNull();
  });
});
