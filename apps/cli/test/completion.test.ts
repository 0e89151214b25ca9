import { execFile } from "node:child_process";
import { chmodSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { describe, expect } from "vitest";
import { test as base, TOKEN } from "./fixtures.ts";

const has = (program: string) =>
  promisify(execFile)("sh", ["-c", `command -v ${program}`]).then(
    () => true,
    () => false,
  );
const shells = { bash: await has("bash"), zsh: await has("zsh"), fish: await has("fish") };

/** This machine may be busy. */
const PATIENT = { LOOM_COMPLETION_MS: "20000" };

/** Asks a real shell for the words after `loom` that it would offer; the last one is being typed. */
const test = base.extend("tab", ({ main, environment, folder }) => {
  // The scripts call `loom`, as it is on the PATH.
  const program = path.join(folder, "loom");
  writeFileSync(program, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
  chmodSync(program, 0o755);
  const env = { ...environment(), ...PATIENT, PATH: `${folder}:${process.env.PATH}`, HOME: folder };
  const asks: Record<keyof typeof shells, (words: readonly string[]) => string[]> = {
    bash: (words) => [
      "--norc",
      "-c",
      `source <(loom completion bash); COMP_WORDS=(loom "$@"); COMP_CWORD=$#; _loom; printf '%s\\n' "\${COMPREPLY[@]}"`,
      "bash",
      ...words,
    ],
    zsh: (words) => [
      "-f",
      "-c",
      `autoload -U compinit; compinit -D; source <(loom completion zsh)
       _describe() { print -l -- "\${(P@)2}"; }; _files() { :; }
       words=(loom "$@"); CURRENT=$#words; _loom`,
      "zsh",
      ...words,
    ],
    fish: (words) => [
      "--no-config",
      "-c",
      `loom completion fish | source; complete -C (string join ' ' -- loom $argv)`,
      ...words,
    ],
  };
  return async (shell: keyof typeof shells, ...words: string[]) => {
    const { stdout } = await promisify(execFile)(shell, asks[shell](words), { env });
    return stdout
      .split("\n")
      .map((line) => line.split(/[\t:]/)[0] ?? "")
      .filter((word) => word !== "");
  };
});

describe("completion", { timeout: 120_000 }, () => {
  test.for(Object.entries(shells).map(([shell, isThere]) => ({ shell, isThere })))(
    "in $shell offers commands, options and names",
    async ({ shell, isThere }, { tab, made, skip }) => {
      if (!isThere) skip(`${shell} is not installed`);
      const ask = (...words: string[]) => tab(shell as keyof typeof shells, ...words);
      await made.nodes();
      expect(await ask("sche")).toEqual(["schedule"]);
      expect((await ask("node", "")).sort()).toEqual(
        "add allow drain ls pause remove resume show upgrade".split(" "),
      );
      expect(await ask("node", "pause", "to")).toEqual(["tower"]);
      expect(await ask("run", "vis")).toEqual(["visit"]);
      expect(await ask("run", "visit", "--fo")).toEqual(["--follow"]);
    },
  );

  test("knows runs, their steps, and the values of options", async ({ loom, made, hub }) => {
    await made.nodes();
    const id = (await made.run("visit")).slice(0, 8);
    const complete = async (...words: string[]) =>
      (await loom(["__complete", "--", ...words], { env: PATIENT })).stdout
        .split("\n")
        .map((line) => line.split("\t")[0])
        .filter((word) => word !== "");
    expect(await complete("cancel", id.slice(0, 4))).toEqual([id]);
    expect(await complete("cancel", id, id.slice(0, 4))).toEqual([id]);
    expect(await complete("logs", id, "")).toEqual(["there", "here"]);
    expect(await complete("retry", id, "--from", "h")).toEqual(["here"]);
    expect(await complete("runs", "--status", "f")).toEqual(["failed"]);
    expect(await complete("queue", "--node", "p")).toEqual(["pi"]);
    expect(await complete("completion", "z")).toEqual(["zsh"]);
    expect(await complete("schedule", "pause", "")).toEqual(["nightly"]);
    expect(await complete("__c")).toEqual([]);
    await loom(["login", hub.url, "--name", "home"], { input: TOKEN });
    expect(await complete("ps", "--context", "")).toEqual(["home"]);
  });

  test("says nothing when the hub is away or refuses", async ({ loom }) => {
    for (const env of [{ LOOM_URL: "http://127.0.0.1:1" }, { LOOM_TOKEN: "wrong" }]) {
      const { code, stdout, stderr } = await loom(["__complete", "--", "run", ""], { env });
      expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "", stderr: "" });
    }
  });
});
