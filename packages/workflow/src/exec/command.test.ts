import { expect, test } from "vitest";
import {
  areSeparate,
  commandOf,
  type ExecCommand,
  execSteps,
  lengthsOf,
  outputsOf,
  sizeOf,
} from "./command.ts";

const one: ExecCommand = {
  argv: ["train", "--lr={lr}", "{index}", "{other}"],
  env: { OUT: "out-{lr}" },
  needs: [],
  host: null,
  count: null,
  sweep: [],
  in: null,
  out: ["out-{lr}"],
};

test("one command is one step, and nothing of it is replaced", () => {
  expect(execSteps(one)).toEqual(["command"]);
  expect(commandOf(one, "command")).toEqual({ argv: one.argv, env: one.env, out: one.out });
  expect(commandOf(one, "command-0")).toBeUndefined();
});

test("a sweep runs every combination, the last variable fastest", () => {
  const sweep = [
    { name: "lr", values: ["0.1", "1"] },
    { name: "seed", values: ["a", "b", "c"] },
  ];
  const swept = { ...one, sweep };
  expect(sizeOf(swept)).toBe(6);
  expect(execSteps(swept)).toEqual([0, 1, 2, 3, 4, 5].map((index) => `command-${index}`));
  expect(commandOf(swept, "command-4")).toEqual({
    argv: ["train", "--lr=1", "4", "{other}"],
    env: { OUT: "out-1", lr: "1", seed: "b", LOOM_INDEX: "4", LOOM_COUNT: "6" },
    out: ["out-1"],
  });
});

test.each(["command", "command-2", "command-02", "command--1", "command-0 ", "other"])(
  "%j is no step of an array of two",
  (step) => {
    expect(commandOf({ ...one, count: 2 }, step)).toBeUndefined();
  },
);

test("values are replaced once, so that they cannot name each other", () => {
  const sweep = [
    { name: "a", values: ["{b}"] },
    { name: "b", values: ["x"] },
  ];
  expect(commandOf({ ...one, argv: ["{a}"], sweep }, "command-0")?.argv).toEqual(["{b}"]);
});

test.each<[string, Partial<ExecCommand>]>([
  ["one command", {}],
  ["a count", { count: 1_000, argv: ["a", "{index}"], out: ["out-{index}"] }],
  [
    "a sweep",
    {
      argv: ["{lr}{lr}{seed}", "{other}"],
      sweep: [
        { name: "lr", values: ["0.1", "0.0001", "1"] },
        { name: "seed", values: ["", "abcdefghijk"] },
      ],
    },
  ],
])("the longest command of %s is measured without making it", (_, changed) => {
  const command = { ...one, ...changed };
  const made = execSteps(command).map((step) => {
    const { argv = [], env = {}, out = [] } = commandOf(command, step) ?? {};
    const { LOOM_INDEX, LOOM_COUNT, ...values } = env;
    return { texts: [...argv, ...Object.values(values)].map(({ length }) => length), out };
  });
  expect(lengthsOf(command)).toEqual({
    argument: Math.max(...made.flatMap(({ texts }) => texts)),
    output: Math.max(...made.flatMap(({ out }) => out).map(({ length }) => length)),
    total: Math.max(...made.map(({ texts }) => texts.reduce((sum, length) => sum + length, 0))),
  });
});

test("a command that would need terabytes is measured", () => {
  const sweep = [{ name: "a", values: ["x".repeat(131_071)] }];
  const out = Array(50).fill("{a}".repeat(333));
  const argv = Array(1_000).fill("{a}".repeat(300));
  const measured = lengthsOf({ ...one, argv, out, sweep });
  expect(measured.output).toBe(333 * 131_071);
  expect(measured.total).toBeGreaterThan(3e10);
});

test.each<[Partial<ExecCommand>, string[][]]>([
  [{ out: ["a", "b"] }, [["a", "b"]]],
  [{ count: 2, out: ["a/b"] }, [["a/b.0"], ["a/b.1"]]],
  [
    { count: 2, out: ["m-{index}", "l"] },
    [
      ["m-0.0", "l.0"],
      ["m-1.1", "l.1"],
    ],
  ],
  [{ count: 2, out: ["m-{index}"] }, [["m-0"], ["m-1"]]],
  // One in the folder of another.
  [{ sweep: [{ name: "d", values: ["a", "a/b"] }], out: ["{d}"] }, [["a.0"], ["a/b.1"]]],
])("what comes back of %j goes to places of its own", (change, places) => {
  const outputs = outputsOf({ ...one, ...change });
  expect(outputs.map(({ paths }) => paths.map(({ to }) => to))).toEqual(places);
});

test.each([
  [["a", "b/c", "b/d"], true],
  [["a", "a"], false],
  [["a/b", "a"], false],
  [["ab", "a"], true],
])("the paths %j are separate: %s", (paths, are) => {
  expect(areSeparate(paths)).toBe(are);
});
