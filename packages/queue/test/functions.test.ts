import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { apiFunctions } from "./api-functions.ts";

const folder = new URL("../sql/", import.meta.url);

const functions = readdirSync(folder).map((file) => {
  const text = readFileSync(new URL(file, folder), "utf8");
  // Rules are about statements; comments may say what they like.
  return { file, name: `loom_${file.slice(0, -4)}`, text, code: text.replace(/--.*$/gm, "") };
});

/** What the client calls is API; the rest are inner parts. */
const api = new Set(apiFunctions);

/** The files that break a rule. */
const without = (rule: (source: (typeof functions)[number]) => boolean): string[] =>
  functions.filter((source) => !rule(source)).map(({ file }) => file);

describe("every file of sql/", () => {
  test("makes one function, named after the file, and says what it is for", () => {
    const made = (code: string) =>
      [...code.matchAll(/\bfunction public\.(\w+)\s*\(/g)].map(([, name]) => name);
    expect(without(({ name, code }) => made(code).join() === name)).toEqual([]);
    expect(without(({ text }) => /^-- [A-Z]/.test(text))).toEqual([]);
  });

  test("pins the search path", () => {
    expect(without(({ code }) => code.includes("set search_path = ''\n"))).toEqual([]);
  });

  test("ends with who may call it: the service role what is API, and nobody the rest", () => {
    const end = (name: string) =>
      `revoke all on function public.${name} from public, anon, authenticated, service_role;\n` +
      (api.has(name) ? `grant execute on function public.${name} to service_role;\n` : "");
    expect(without(({ name, code }) => code.endsWith(`\n\n${end(name)}`))).toEqual([]);
    expect(functions.map(({ name }) => name)).toEqual(expect.arrayContaining([...api]));
  });

  test("acts as its owner where it is API, and as its caller elsewhere", () => {
    const isDefiner = (code: string) => code.includes("security definer");
    expect(without(({ name, code }) => isDefiner(code) === api.has(name))).toEqual([]);
  });

  // PostgREST before version 16 repeats for ever a call that fails so.
  test("raises no serialization failure", () => {
    expect(without(({ code }) => !/40001|serialization_failure/i.test(code))).toEqual([]);
  });

  // A notification takes a lock at commit that all writers of the database share.
  test("notifies nobody unless it is asked to", () => {
    const asked = /if p_notify and [^;]+ then\s+perform pg_notify\('loom_offers', \w+\);/g;
    const unasked = (code: string) => /\bpg_notify\b|\bnotify\s/i.test(code.replaceAll(asked, ""));
    expect(without(({ code }) => !unasked(code))).toEqual([]);
  });
});
