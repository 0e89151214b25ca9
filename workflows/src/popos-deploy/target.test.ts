import { describe, expect, test } from "vitest";
import { createLineLog } from "./target.ts";

function record() {
  const lines: [string, unknown][] = [];
  const write = (facts: object | string, message = "") => void lines.push([message, facts]);
  return { lines, log: { debug: write, info: write, warn: write, error: write } };
}

describe("createLineLog", () => {
  test("writes whole lines, separately for each stream", () => {
    const { lines, log } = record();
    const { add, end } = createLineLog(log, "build");
    add({ stream: "stdout", text: "one\ntw" });
    add({ stream: "stderr", text: "oops" });
    add({ stream: "stdout", text: "o\n" });
    end();
    expect(lines).toEqual([
      ["one", { command: "build", stream: "stdout" }],
      ["two", { command: "build", stream: "stdout" }],
      ["oops", { command: "build", stream: "stderr" }],
    ]);
  });

  test("holds and writes only the beginning of an endless line", () => {
    const { lines, log } = record();
    const { add, end } = createLineLog(log, "build");
    for (let piece = 0; piece < 100; piece += 1) add({ stream: "stdout", text: "x".repeat(1_000) });
    end();
    expect(lines.map(([line]) => line.length)).toEqual([2_000]);
  });

  test("stops after a readable number of lines, and says so once", () => {
    const { lines, log } = record();
    createLineLog(log, "build").add({ stream: "stdout", text: "x\n".repeat(6_000) });
    expect(lines).toHaveLength(5_001);
    expect(lines.at(-1)).toEqual(["further lines are left out", { command: "build" }]);
  });
});
