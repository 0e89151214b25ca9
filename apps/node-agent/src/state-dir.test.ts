import { expect, test } from "vitest";
import { journalOf, socketOf } from "./state-dir.ts";

test("two nodes of one machine have a journal and a socket each", () => {
  expect(journalOf("/state", "forge")).toBe("/state/forge.journal");
  expect(journalOf("/state", "anvil")).not.toBe(journalOf("/state", "forge"));
  expect(socketOf("/state", "anvil")).not.toBe(socketOf("/state", "forge"));
});
