import { describe, expect, test } from "vitest";
import { suggestNames } from "./suggest-names.ts";

const KNOWN = ["backup", "backup-photos", "cross-node-smoke", "popos-deploy"];

describe("suggestNames", () => {
  test.for([
    { name: "cross-node-smok", meant: ["cross-node-smoke"] },
    { name: "Cross-Node-Smoke", meant: ["cross-node-smoke"] },
    { name: "popos_deploi", meant: ["popos-deploy"] },
    { name: "popos", meant: ["popos-deploy"] },
    { name: "bakup", meant: ["backup"] },
    { name: "back", meant: ["backup", "backup-photos"] },
    { name: "zz", meant: [] },
    { name: "restore", meant: [] },
    { name: "x".repeat(10_000), meant: [] },
  ])("suggests $meant for $name", ({ name, meant }) => {
    expect(suggestNames(name, KNOWN)).toEqual(meant);
  });

  test.for([
    { name: "gpu", known: ["GPU"], meant: ["GPU"] },
    { name: "GPU", known: ["gpu"], meant: ["gpu"] },
    {
      name: "kitchen-pi",
      known: ["Kitchen-Pi", "KITCHEN-PI-1"],
      meant: ["Kitchen-Pi", "KITCHEN-PI-1"],
    },
    { name: "linux", known: ["linux"], meant: [] },
  ])("suggests $meant for $name among $known", ({ name, known, meant }) => {
    expect(suggestNames(name, known)).toEqual(meant);
  });

  test("suggests at most three names, and none when none is known", () => {
    expect(suggestNames("w", ["w4", "w3", "w2", "w1"])).toEqual(["w1", "w2", "w3"]);
    expect(suggestNames("w", [])).toEqual([]);
  });
});
