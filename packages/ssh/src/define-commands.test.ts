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

/** Free arguments that bypassed other allowlists. */
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
  test("builds program and arguments, one word each", () => {
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
    ["text with its direction reversed", "a\u202eb", "control or invisible"],
    ["half a character", "\ud800", "not well-formed"],
    ["far too much", "x".repeat(5_000), "longer than"],
  ])("refuses %s even if the schema accepts it", ([, text = "", reason]) => {
    expect(() => commands.say(text)).toThrow(reason);
  });

  const signal = defineCommands({
    one: { args: z.tuple([z.number()]), argv: (pid) => ["kill", String(pid)] },
    big: { args: z.tuple([z.number().transform(BigInt)]), argv: (pid) => ["kill", `${pid}`] },
    all: {
      args: z.tuple([z.string().transform((text) => text.split(","))]),
      argv: (pids) => ["kill", ...pids],
    },
    named: {
      args: z.tuple([z.string().transform((text) => ({ deep: [text.replace("minus ", "-")] }))]),
      argv: ({ deep }) => ["kill", ...deep],
    },
  });
  test.for([
    ["a number", () => signal.one(-5)],
    ["a fraction", () => signal.one(-0.5)],
    ["the value that a schema made of a number", () => signal.big(-1)],
    ["a part of the value that a schema made", () => signal.all("1,-9")],
    ["a part of a part", () => signal.named("minus 9")],
  ] as const)("lets %s become no option", ([, make]) => {
    expect(make).toThrow(expect.objectContaining({ code: "INVALID_ARGUMENTS" }));
    expect(make).toThrow('argument 1 begins with "-", which programs read as an option');
  });

  test("takes numbers that cannot be options", () => {
    expect(signal.one(5).argv).toEqual(["kill", "5"]);
    expect(signal.one(-0).argv).toEqual(["kill", "0"]);
    expect(signal.all("1,9").argv).toEqual(["kill", "1", "9"]);
  });

  test("names every argument that does not fit", () => {
    // @ts-expect-error The compiler refuses it too.
    expect(() => commands.keep("5", 1)).toThrow(/: argument 1 must be .*; argument 2 must be /);
    // @ts-expect-error
    expect(() => commands.up("more")).toThrow(
      "up does not take these arguments: the operation takes at most 0",
    );
    // @ts-expect-error
    expect(() => commands.restart()).toThrow("restart does not take");
  });

  test.for([
    { schema: z.string(), given: 5, problem: "argument 1 must be a string" },
    { schema: z.int(), given: 0.5, problem: "argument 1 must be a whole number" },
    { schema: z.int().min(1), given: 0, problem: "argument 1 must be at least 1" },
    { schema: z.number().lt(9), given: 9, problem: "argument 1 must be less than 9" },
    {
      schema: z.string().max(2),
      given: "abc",
      problem: "argument 1 must have at most 2 characters",
    },
    { schema: z.string().regex(/^a$/), given: "b", problem: "argument 1 must match /^a$/" },
    { schema: z.enum(["on", "off"]), given: "up", problem: 'argument 1 must be "on" or "off"' },
    { schema: z.number().multipleOf(5), given: 7, problem: "argument 1 must be a multiple of 5" },
    { schema: z.string().refine(() => false), given: "a", problem: "argument 1 is not allowed" },
    {
      schema: z.string().refine(() => false, { error: "must be the name of a day" }),
      given: "a",
      problem: "argument 1 must be the name of a day",
    },
  ])("says what is allowed: $problem", ({ schema, given, problem }) => {
    const args = z.tuple([schema as z.ZodType<string, string>]);
    const { run } = defineCommands({ run: { args, argv: () => ["true"] } });
    expect(() => run(given as string)).toThrow(
      expect.objectContaining({ message: `run does not take these arguments: ${problem}` }),
    );
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

  test("refuses an invalid name", () => {
    const definition = { args: z.tuple([]), argv: () => ["true"] as const };
    expect(() => defineCommands({ "rm -rf": definition })).toThrow("use letters");
  });

  test("distinguishes its own commands from lookalikes", () => {
    const command = commands.up();
    requireMade(command);
    const forged: Command = { ...command };
    expect(() => requireMade(forged)).toThrow(
      expect.objectContaining({ code: "COMMAND_NOT_ALLOWED" }),
    );
    expect(() => Object.assign(command, { argv: ["id"] })).toThrow(TypeError);
  });
});
