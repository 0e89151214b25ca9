import { describe, expect, test } from "vitest";
import { apiFunctions } from "./api-functions.ts";
import { sqlFunctions } from "./sql-functions.ts";

/** The functions that the client calls are API. All others are internal. */
const api = new Set(apiFunctions);

/** The functions that break a rule. */
const without = (rule: (source: (typeof sqlFunctions)[number]) => boolean): string[] =>
  sqlFunctions.filter((source) => !rule(source)).map(({ name }) => name);

describe("every function of sql/", () => {
  test("is defined once, and has a comment", () => {
    const names = sqlFunctions.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(50);
    expect(names).toEqual([...new Set(names)]);
    const made = (code: string) => [...code.matchAll(/\bfunction public\.(\w+)\s*\(/g)];
    expect(without(({ name, code }) => name !== "" && made(code).length === 1)).toEqual([]);
    expect(without(({ text }) => /^-- [A-Z]/.test(text))).toEqual([]);
  });

  test("pins the search path", () => {
    expect(without(({ code }) => code.includes("set search_path = ''\n"))).toEqual([]);
  });

  test("leaves its grants to the migration script, and exists if the client calls it", () => {
    expect(without(({ code }) => !/^(?:grant|revoke)\b/im.test(code))).toEqual([]);
    expect(sqlFunctions.map(({ name }) => name)).toEqual(expect.arrayContaining([...api]));
  });

  test("acts as its owner where it is API, and as its caller elsewhere", () => {
    const isDefiner = (code: string) => code.includes("security definer");
    expect(without(({ name, code }) => isDefiner(code) === api.has(name))).toEqual([]);
  });

  // PostgREST before version 16 repeats for ever a call that fails so.
  test("raises no serialization failure", () => {
    expect(without(({ code }) => !/40001|serialization_failure/i.test(code))).toEqual([]);
  });

  // PostgREST puts the message of a PTxxx into HTTP's status line: a line break in it, or a letter that is not
  // Latin, breaks the answer, and the caller takes the database for away.
  test("puts only limits into a message, and no text of a caller", () => {
    const raised =
      /\braise\s+(?!exception '(?:[^']|'')*'(?:,\s+public\.loom_limit\('\w+'\))*\s+using\b)/i;
    const isPlain = (code: string) =>
      !raised.test(code) && !/\bmessage\s*=/i.test(code) && !/\bhint\s*=(?!\s*')/i.test(code);
    expect(without(({ code }) => isPlain(code))).toEqual([]);
  });

  // A notification takes a lock at commit that all writers of the database share.
  test("notifies nobody unless it is asked to", () => {
    const asked = /if p_notify and [^;]+ then\s+perform pg_notify\('loom_offers', \w+\);/g;
    const unasked = (code: string) => /\bpg_notify\b|\bnotify\s/i.test(code.replaceAll(asked, ""));
    expect(without(({ code }) => !unasked(code))).toEqual([]);
  });
});
