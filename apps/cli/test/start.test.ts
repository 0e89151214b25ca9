import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect } from "vitest";
import { test } from "./fixtures.ts";

/** The files that a start reads: the program, and what it imports before it knows the command. */
function startFiles(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  const imports = /^(?:import|export)\b[^;]*?"(\.\/[^"]+)";$/gm;
  for (const [, next = ""] of readFileSync(file, "utf8").matchAll(imports)) {
    startFiles(path.join(path.dirname(file), next), seen);
  }
  return seen;
}

describe("the program", { timeout: 120_000 }, () => {
  // What a machine needs for it depends on its load; what the program reads does not. 300 KB start in
  // about 60 ms beside the 40 ms of Node itself.
  test("starts without the libraries of single commands", ({ main }) => {
    const files = [...startFiles(main)];
    const text = files.map((file) => readFileSync(file, "utf8")).join("");
    expect(files.length).toBeLessThanOrEqual(5);
    expect(text.length).toBeLessThan(300_000);
    const heavy = ["modelcontextprotocol", "ZodType", "tailscaled"];
    expect(heavy.filter((word) => text.includes(word))).toEqual([]);
    const imported = [...text.matchAll(/^import .* from "([^."][^"]*)";$/gm)].map(
      ([, name = ""]) => name,
    );
    expect(imported.filter((name) => !isBuiltin(name))).toEqual([]);
  });

  test("explains itself on standard output, and every command", async ({ loom }) => {
    const { code, stdout, stderr } = await loom([]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect((await loom(["--help"])).stdout).toBe(stdout);
    for (const command of ["run", "why", "node", "login", "types", "mcp"]) {
      expect(stdout).toMatch(new RegExp(`^ {2}${command}\\b.* {2}\\S`, "m"));
    }
    expect(stdout).not.toContain("__complete");
    expect((await loom(["node", "help", "add"])).stdout).toContain("--may-offer <names>");
    expect((await loom(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(await loom(["node"])).toMatchObject({ code: 2, stdout: "" });
  });

  test("runs from a clone, and names files from where the person is", async ({
    environment,
    folder,
    made,
  }) => {
    await made.nodes();
    const clone = fileURLToPath(new URL("../src/clone.mjs", import.meta.url));
    const env = { ...environment(), npm_command: "run-script", INIT_CWD: folder };
    const args = ["--conditions=@loom/source", clone, "types"];
    await promisify(execFile)(process.execPath, args, { env });
    expect(readFileSync(path.join(folder, "loom-fleet.d.ts"), "utf8")).toContain('| "tower"');
  });
});
