import { generateKeyPairSync } from "node:crypto";
import { expect, test } from "vitest";
import { createSeal } from "./seal.ts";

const { privateKey } = generateKeyPairSync("ed25519");

test("opens what a hub with the same key closed, for the same hook only", () => {
  const sealed = createSeal(privateKey).close('{"password":"geheim"}', "mail");
  expect(Buffer.from(sealed, "base64").toString("latin1")).not.toContain("geheim");
  expect(createSeal(privateKey).open(sealed, "mail")).toBe('{"password":"geheim"}');
  expect(() => createSeal(privateKey).open(sealed, "chat")).toThrow(/cannot open/);
});

test("opens nothing of another key, nothing that was changed or cut off, and seals no text twice alike", () => {
  const seal = createSeal(privateKey);
  const sealed = seal.close("x", "mail");
  expect(seal.close("x", "mail")).not.toBe(sealed);
  const bytes = Buffer.from(sealed, "base64");
  for (const at of [0, 12, bytes.length - 1]) {
    const changed = Buffer.from(bytes);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(() => seal.open(changed.toString("base64"), "mail")).toThrow(/cannot open/);
  }
  for (const cut of ["", sealed.slice(0, 20)]) {
    expect(() => seal.open(cut, "mail")).toThrow(/cannot open/);
  }
  expect(() => createSeal().open(sealed, "mail")).toThrow(/LOOM_SIGNING_KEY_FILE/);
});
