import { expect, test } from "vitest";
import { journalOf } from "./state-dir.ts";

test("a journal is one node's, for one database", () => {
  const journals = [
    ["forge", "https://abc.supabase.co"],
    ["anvil", "https://abc.supabase.co"],
    ["forge", "https://xyz.supabase.co"],
    ["forge", "http://127.0.0.1:54321"],
    ["forge", "http://127.0.0.1:54322"],
    ["forge", "http://127.0.0.1:54322/other"],
  ].map(([node = "", url = ""]) => journalOf("/state", node, url));
  expect(new Set(journals).size).toBe(journals.length);
  expect(journals[0]).toBe("/state/forge@abc.supabase.co.journal");
  // As the address is written says nothing about the database.
  expect(journalOf("/state", "forge", "https://abc.supabase.co/")).toBe(journals[0]);
});
