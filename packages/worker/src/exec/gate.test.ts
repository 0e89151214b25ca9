import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { loadSigningKey, type SigningKey, signExec } from "@loom/code";
import type { ExecCommand } from "@loom/workflow";
import { afterAll, beforeAll, expect, test } from "vitest";
import { findStep } from "../attempt.ts";
import { createExecGate } from "./gate.ts";

let folder: string;
let key: SigningKey;
beforeAll(async () => {
  folder = mkdtempSync(path.join(tmpdir(), "loom-gate-"));
  key = await loadSigningKey(path.join(folder, "key"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const run = "6f1e7bfa-0c5c-4f9b-8a2e-6a3b1f0e4d11";
const notAfter = new Date("2026-11-30T12:00:00Z");
const node = { name: "tower", capabilities: ["exec", "has-gpu"] };
const command: ExecCommand = {
  ...{ argv: ["echo", "{index}"], env: { A: "1" }, needs: ["has-gpu"] },
  ...{ host: null, count: null, sweep: [], in: null, out: [] },
};

const job = (
  changed: Partial<ExecCommand> = {},
  stored: object = {},
  runId: string | null = run,
) => {
  const signed = { ...command, ...changed };
  const input = { ...signed, signed: signExec(signed, { run, notAfter, key }), ...stored };
  return { input: input as never, runId, step: signed.count ? "command-1" : "command" };
};

const gate = (text: "off" | "any" = "any", now = notAfter) =>
  createExecGate({
    policy: { kind: text },
    publicKey: key.publicKey,
    env: { PATH: "/usr/bin" },
    now: () => now,
  });

test("a signed command becomes an order with the program and what it gets", () => {
  expect(gate().find(job(), node)).toMatchObject({
    name: "command",
    input: { file: "echo", argv: ["echo", "{index}"], env: { A: "1" } },
  });
  expect(gate().find(job({ count: 2 }), node)).toMatchObject({
    name: "command-1",
    input: { argv: ["echo", "1"], env: { LOOM_INDEX: "1", LOOM_COUNT: "2" } },
  });
});

test("a command with files runs in a folder of its own, and with none at home", () => {
  const sent = { name: "in.tar.gz", size: 1, sha256: "0".repeat(64) };
  expect(gate().find(job(), node)).toMatchObject({
    input: { cwd: expect.any(String), in: null, out: null },
  });
  expect(gate().find(job({ in: sent }), node)).toMatchObject({
    input: { cwd: null, in: sent, out: null },
  });
  expect(gate().find(job({ count: 2, out: ["m-{index}"] }), node)).toMatchObject({
    input: { cwd: null, in: null, out: { name: "out-1.tar.gz", paths: ["m-1"] } },
  });
});

const REFUSED = "EXEC_SIGNATURE_REFUSED";

test.each([
  ["a row that somebody else wrote", job, [{}, { signed: undefined }], "EXEC_SIGNATURE_REFUSED"],
  ["changed arguments", job, [{}, { argv: ["rm"] }], "EXEC_SIGNATURE_REFUSED"],
  ["other files", job, [{}, { in: { name: "x", size: 1, sha256: "0".repeat(64) } }], REFUSED],
  ["another output", job, [{ out: ["a"] }, { out: ["b"] }], REFUSED],
  ["a changed variable", job, [{}, { env: { A: "2" } }], "EXEC_SIGNATURE_REFUSED"],
  ["the same row in another run", job, [{}, {}, "other"], "EXEC_NOT_FOR_THIS"],
  ["the same row without a run", job, [{}, {}, null], "EXEC_NOT_FOR_THIS"],
  ["a command for another node", job, [{ host: "pi" }], "EXEC_NOT_FOR_THIS"],
] as const)("%s is refused for good with its code", (_, make, args, code) => {
  expect(() => gate().find(make(...(args as unknown as [])), node)).toThrow(
    expect.objectContaining({ code }),
  );
});

test("a step that the command does not have is refused", () => {
  expect(() => gate().find({ ...job(), step: "command-0" }, node)).toThrow(
    expect.objectContaining({ code: "EXEC_NOT_FOR_THIS" }),
  );
});

test("a command that is offered again when its time is over is refused", () => {
  const late = new Date(notAfter.getTime() + 1);
  expect(() => gate("any", late).find(job(), node)).toThrow(
    expect.objectContaining({ code: "EXEC_EXPIRED" }),
  );
});

test("a node whose owner wants no commands declines them, and offers nothing", () => {
  expect(gate("off").find(job(), node)).toEqual({ declined: expect.stringMatching(/^EXEC_OFF: /) });
  expect(gate("off").capabilities).toEqual([]);
  expect(gate().capabilities).toEqual(["exec"]);
  const keyless = createExecGate({ policy: { kind: "any" }, publicKey: undefined, env: {} });
  expect(keyless.find(job(), node)).toEqual({ declined: expect.stringMatching(/^EXEC_OFF: /) });
  expect(keyless.capabilities).toEqual([]);
});

test("a node that knows no hub declines what comes with files, and runs the rest", () => {
  const without = createExecGate({
    ...{ policy: { kind: "any" }, publicKey: key.publicKey, env: {}, hasFiles: false },
    now: () => notAfter,
  });
  expect(without.find(job(), node)).toMatchObject({ input: { file: "echo" } });
  expect(without.find(job({ out: ["a"] }), node)).toEqual({
    declined: expect.stringMatching(/^EXEC_NO_FILES: tower does not know its hub/),
  });
});

test("the needs that were signed count, whatever the row says", () => {
  const bare = { name: "tower", capabilities: ["exec"] };
  expect(gate().find(job(), bare)).toEqual({ declined: "tower lacks has-gpu" });
});

test("a job of this name goes to the gate, however the node knows the workflow", () => {
  const steps = [{ name: "command" }];
  const known = new Map([["exec", { name: "exec", version: "1", steps }]]);
  const found = { workflow: "exec", requires: [], ...job() };
  expect(findStep(found, node, known)).toEqual({ declined: expect.stringMatching(/^EXEC_OFF: /) });
  expect(findStep(found, node, known, gate())).toMatchObject({ input: { file: "echo" } });
});
