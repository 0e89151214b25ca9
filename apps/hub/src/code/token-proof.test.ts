import { generateKeyPairSync } from "node:crypto";
import { isTokenShaped, makeToken } from "@loom/queue";
import { expect, test } from "vitest";
import { createTokenProof } from "./token-proof.ts";

const { privateKey } = generateKeyPairSync("ed25519");

test("a token is proven for its scopes, in any order, by every hub with the key", () => {
  const token = createTokenProof(privateKey).make(["run", "exec"]);
  expect(isTokenShaped(token)).toBe(true);
  const other = createTokenProof(privateKey);
  expect(other.holds(token, ["exec", "run"])).toBe(true);
  for (const scopes of [["exec"], ["run", "exec", "operate"], ["admin"], []] as const) {
    expect(other.holds(token, scopes)).toBe(false);
  }
  expect(createTokenProof().holds(token, ["run", "exec"])).toBe(false);
});

test("a token that somebody else made, or changed, is not", () => {
  const proof = createTokenProof(privateKey);
  const token = proof.make(["exec"]);
  expect(proof.make(["exec"])).not.toBe(token);
  const last = token.endsWith("A") ? "E" : "A";
  for (const other of [
    makeToken(),
    `${token.slice(0, -1)}${last}`,
    "loom_",
    "",
    token.slice(0, 30),
  ]) {
    expect(proof.holds(other, ["exec"])).toBe(false);
  }
});
