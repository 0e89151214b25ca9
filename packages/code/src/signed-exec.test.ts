import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import type { ExecCommand } from "@loom/workflow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { signExec, verifyExec } from "./signed-exec.ts";
import { loadSigningKey, type SigningKey } from "./signing.ts";

let folder: string;
let key: SigningKey;
let other: SigningKey;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "loom-exec-"));
  key = await loadSigningKey(path.join(folder, "one"));
  other = await loadSigningKey(path.join(folder, "other"));
});
afterAll(() => rm(folder, { recursive: true }));

const command: ExecCommand = {
  argv: ["python", "train.py"],
  env: { A: "1", B: "2" },
  needs: ["has-gpu"],
  host: null,
  count: null,
  sweep: [{ name: "lr", values: ["0.1", "1"] }],
  in: { name: "in.tar.gz", size: 9, sha256: "a".repeat(64) },
  out: ["results"],
};
const run = "6f1e7bfa-0c5c-4f9b-8a2e-6a3b1f0e4d11";
const notAfter = new Date("2026-11-30T12:00:00Z");
const asked = () => ({ run, now: notAfter, publicKey: key.publicKey });

test("a command verifies for its run until its last moment, whatever the order of its variables", () => {
  const signed = signExec(command, { run, notAfter, key });
  expect(verifyExec(command, signed, asked())).toBe("ok");
  expect(verifyExec({ ...command, env: { B: "2", A: "1" } }, signed, asked())).toBe("ok");
  const later = new Date(notAfter.getTime() + 1);
  expect(verifyExec(command, signed, { ...asked(), now: later })).toBe("expired");
  expect(verifyExec(command, signed, { ...asked(), run: null })).toBe("other_run");
  expect(verifyExec(command, signed, { ...asked(), publicKey: other.publicKey })).toBe("refused");
});

test.each<Partial<ExecCommand>>([
  { argv: ["python", "train.py", "--all"] },
  { argv: ["python train.py"] },
  { env: { A: "1", B: "3" } },
  { env: { A: "1" } },
  { needs: [] },
  { host: "tower" },
  { count: 2 },
  { sweep: [] },
  { sweep: [{ name: "lr", values: ["0.1", "2"] }] },
  { in: null },
  { in: { name: "in.tar.gz", size: 9, sha256: "b".repeat(64) } },
  { in: { name: "other", size: 9, sha256: "a".repeat(64) } },
  { in: { sha256: "a".repeat(64) } as never },
  { out: [] },
  { out: ["results", "more"] },
  { out: ["../results"] },
])("a signature does not hold for a command with %o", (change) => {
  const signed = signExec(command, { run, notAfter, key });
  expect(verifyExec({ ...command, ...change }, signed, asked())).toBe("refused");
});

test("a text is not the list of its characters", () => {
  const signed = signExec({ ...command, out: ["a", "b"] }, { run, notAfter, key });
  expect(verifyExec({ ...command, out: "ab" as never }, signed, asked())).toBe("refused");
});

test.each(['{"count": 1e999}', "{}", '{"count": null}', '{"host": null}'])(
  "a row whose host and count are %s is not the command that has them as null",
  (fields) => {
    const { host: _, count: __, ...rest } = command;
    const signed = signExec(command, { run, notAfter, key });
    // JSON has no infinite number, and a row may have one: it is read as Infinity and was written as null.
    const row = { ...rest, ...(JSON.parse(fields) as object) } as unknown as ExecCommand;
    expect(verifyExec(row, signed, asked())).toBe("refused");
  },
);

test("the run and the last moment cannot be changed either", () => {
  const signed = signExec(command, { run, notAfter, key });
  const longer = { ...signed, notAfter: "2099-01-01T00:00:00.000Z" };
  expect(verifyExec(command, longer, asked())).toBe("refused");
  const stolen = { ...signed, run: "other" };
  expect(verifyExec(command, stolen, { ...asked(), run: "other" })).toBe("refused");
});

test.each([
  [undefined, undefined],
  [null, null],
  [{}, {}],
  [{ argv: "sh", env: null, sweep: 7 }, { signature: 7 }],
])("what is no command at all is refused: %o", (value, signed) => {
  expect(verifyExec(value as never, signed as never, asked())).toBe("refused");
});
