import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { decideExec, parseExecPolicy } from "./policy.ts";

let folder: string;
let list: string;
let tool: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), "loom-policy-"));
  mkdirSync(path.join(folder, "bin"));
  tool = path.join(folder, "bin/tool");
  for (const file of [tool, path.join(folder, "bin/other")]) {
    writeFileSync(file, "#!/bin/sh\n", { mode: 0o755 });
  }
  list = path.join(folder, "programs");
  write(`# what may run\n\n${tool}\n  env LEVEL\r\n`);
});
afterAll(() => rmSync(folder, { recursive: true }));

function write(text: string, mode = 0o644): void {
  writeFileSync(list, text);
  chmodSync(list, mode);
}

const decide = (
  argv: string[],
  env: Record<string, string> = {},
  text = list,
  files = { hasInput: false, hasOutput: false },
) =>
  decideExec(parseExecPolicy(text), {
    ...{ argv, env, ...files, path: `relative:${folder}/bin:/usr/bin` },
  });

test("a policy is off, any, or an absolute path", () => {
  expect(parseExecPolicy("off")).toEqual({ kind: "off" });
  expect(() => parseExecPolicy("programs")).toThrow("absolute path");
  expect(() => parseExecPolicy("ANY")).toThrow("absolute path");
});

test("off runs nothing, and any runs everything as it is written", () => {
  expect(decide(["tool"], {}, "off")).toEqual({ refused: expect.stringContaining("LOOM_EXEC") });
  expect(decide(["no-such", "x"], { A: "1" }, "any")).toEqual({ file: "no-such" });
});

test("a listed program is found by its name, and what was found is started", () => {
  expect(decide(["tool", "--all"])).toEqual({ file: tool });
  expect(decide([tool])).toEqual({ file: tool });
});

test.each([
  [["other"], "has it not"],
  [["no-such"], "has no program no-such in its PATH"],
  [["./tool"], "does not run ./tool"],
  [["bin/../bin/tool"], "does not run"],
  [["/bin/sh"], "does not run /bin/sh"],
])("%j is refused: %s", (argv, why) => {
  expect(decide(argv)).toEqual({ refused: expect.stringContaining(why) });
});

test("a path that leads to a listed program by another way is refused", () => {
  expect(decide([`${folder}/bin/../bin/tool`])).toHaveProperty("refused");
  expect(decide([`${folder}//bin/tool`])).toHaveProperty("refused");
});

test("only listed variables may be set, because many of them run code", () => {
  expect(decide(["tool"], { LEVEL: "1", LOOM_INDEX: "0" })).toEqual({ file: tool });
  expect(decide(["tool"], { LD_PRELOAD: "/tmp/x.so" })).toEqual({
    refused: expect.stringContaining('no line "env LD_PRELOAD"'),
  });
});

test("with a list, files come in and go out where it says so, because they may change what a program does", () => {
  const into = { hasInput: true, hasOutput: false };
  const both = { hasInput: true, hasOutput: true };
  expect(decide(["tool"], {}, "any", both)).toEqual({ file: "tool" });
  expect(decide(["tool"], {}, list, into)).toEqual({
    refused: expect.stringContaining('no line "files in"'),
  });
  write(`${tool}\nfiles in\n`);
  expect(decide(["tool"], {}, list, into)).toEqual({ file: tool });
  expect(decide(["tool"], {}, list, both)).toEqual({
    refused: expect.stringContaining('no line "files out"'),
  });
  write(`${tool}\nfiles  in\nfiles out\n`);
  expect(decide(["tool"], {}, list, both)).toEqual({ file: tool });
  write(`${tool}\nfiles\n`);
  expect(decide(["tool"])).toEqual({ refused: expect.stringContaining("line 2") });
});

test("a list that others may write to, that is missing or has a bad line, allows nothing", () => {
  write(tool, 0o666);
  expect(decide(["tool"])).toEqual({ refused: expect.stringContaining("chmod go-w") });
  write(`${tool}\npython\n`);
  expect(decide(["tool"])).toEqual({ refused: expect.stringContaining("line 2") });
  write(`${tool}/\n`);
  expect(decide(["tool"])).toEqual({ refused: expect.stringContaining("line 1") });
  expect(decide(["tool"], {}, `${list}-missing`)).toEqual({
    refused: expect.stringContaining("ENOENT"),
  });
});
