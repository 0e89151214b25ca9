import { describe, expect, test } from "vitest";
import { z } from "zod";
import { type Command, defineCommands, requireMade } from "./define-commands.ts";

const commands = defineCommands({
  restart: {
    args: z.tuple([z.string().regex(/^[a-z][a-z0-9-]*\.service$/)]),
    argv: (service) => ["systemctl", "restart", "--", service],
  },
  say: { args: z.tuple([z.string()]), argv: (text) => ["echo", text] },
  keep: {
    args: z.tuple([z.number().int().positive(), z.boolean()]),
    argv: (count, force) => ["prune", String(count), force ? "--force" : "--no-force"],
  },
  up: { args: z.tuple([]), argv: () => ["true"] },
});

/** What was tried against allowlists elsewhere, in a free argument. */
const BYPASSES = [
  "; id",
  "a && id",
  "a | id",
  "$(id)",
  "`id`",
  "\u0024{IFS}id",
  "a\nid",
  "a\rid",
  "a\tid",
  "a\0id",
  "> /etc/passwd",
  "*",
  "?",
  "[a-z]",
  "~root",
  "{a,b}",
  "!!",
  "# a",
  "'",
  '"',
  "a\\",
  "LD_PRELOAD=/tmp/x.so id",
  "BASH_ENV=/tmp/x",
  "-e",
  "--upload-pack=id",
  "-oProxyCommand=id",
  "--",
  "../../etc/passwd",
  "/bin/sh",
  "popos.service; id",
  "popos.service\n",
  "popos.service ",
  " popos.service",
  "POPOS.service",
  "pороs.service",
  "popos．service",
  "popos.service\u200b",
  "\u202epopos.service",
  "−e",
  "x".repeat(128 * 1_024),
  "\ud800",
];

describe("defineCommands", () => {
  test("makes program and arguments, one word each", () => {
    expect(commands.restart("popos.service")).toEqual({
      name: "restart",
      args: ["popos.service"],
      argv: ["systemctl", "restart", "--", "popos.service"],
    });
    expect(commands.keep(5, false).argv).toEqual(["prune", "5", "--no-force"]);
    expect(commands.up().argv).toEqual(["true"]);
  });

  test.for(BYPASSES)("lets %j through no typed argument", (bypass) => {
    expect(() => commands.restart(bypass)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENTS", command: "restart" }),
    );
  });

  test.for([
    ["an option", "-rf", 'begins with "-"'],
    ["a second line", "a\nb", "control or invisible"],
    ["NUL", "a\0b", "control or invisible"],
    ["a zero-width space", "a\u200bb", "control or invisible"],
    ["text turned around", "a\u202eb", "control or invisible"],
    ["half a character", "\ud800", "not well-formed"],
    ["far too much", "x".repeat(5_000), "longer than"],
  ])("refuses %s even where the schema would take it", ([, text = "", reason]) => {
    expect(() => commands.say(text)).toThrow(reason);
  });

  test("names every argument that does not fit", () => {
    // @ts-expect-error Not even the compiler takes it.
    expect(() => commands.keep("5", 1)).toThrow(/argument 1: .*; argument 2: /);
    // @ts-expect-error
    expect(() => commands.up("more")).toThrow("up does not take these arguments");
    // @ts-expect-error
    expect(() => commands.restart()).toThrow("restart does not take");
  });

  test.for([
    ["an option", "--help"],
    ["an assignment", "A=b"],
    ["nothing", ""],
    ["a line", "ls -l"],
  ])("refuses a program that is %s", ([, program = ""]) => {
    const { run } = defineCommands({ run: { args: z.tuple([]), argv: () => [program] } });
    expect(() => run()).toThrow(expect.objectContaining({ code: "COMMAND_DEFINITION" }));
  });

  test("refuses a name that is none", () => {
    const definition = { args: z.tuple([]), argv: () => ["true"] as const };
    expect(() => defineCommands({ "rm -rf": definition })).toThrow("use letters");
  });

  test("knows its own from what only looks like it", () => {
    const command = commands.up();
    requireMade(command);
    const forged: Command = { ...command };
    expect(() => requireMade(forged)).toThrow(
      expect.objectContaining({ code: "COMMAND_NOT_ALLOWED" }),
    );
    expect(() => Object.assign(command, { argv: ["id"] })).toThrow(TypeError);
  });
});
