import { describe, expect, test } from "vitest";
import { describeMachine } from "./machine.ts";

describe("describeMachine", () => {
  test("has a name that can be a node's", () => {
    expect(describeMachine().name).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
  });

  test("offers what the machine is", () => {
    const { capabilities, facts } = describeMachine();
    expect(capabilities).toEqual([
      `os=${process.platform}`,
      expect.stringMatching(/^arch=\w+$/),
      `cpus=${facts.cpus}`,
      expect.stringMatching(/^memory-gb=\d+$/),
    ]);
  });
});
