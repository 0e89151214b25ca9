import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect } from "vitest";
import { test as base, exitInDocs, ROOT } from "./fixtures.ts";

const TSC = path.join(ROOT, "node_modules/typescript/bin/tsc");
/** Where `@loom/workflow` is found, as in a user's folder that has installed it. */
const INSTALLED = fileURLToPath(new URL("../node_modules", import.meta.url));

const test = base.extend("project", ({ emptied: _ }, { onCleanup }) => {
  const folder = mkdtempSync(path.join(INSTALLED, ".types-"));
  onCleanup(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(
    path.join(folder, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        ...{ target: "es2024", module: "nodenext", strict: true, noEmit: true, types: ["node"] },
        ...{ skipLibCheck: true, allowImportingTsExtensions: true },
        customConditions: ["@loom/source"],
        typeRoots: [fileURLToPath(new URL("../../../node_modules/@types", import.meta.url))],
      },
      include: ["*.ts"],
    }),
  );
  return folder;
});

/** Lines of a workflow; those that end with a mark are to be errors. */
const WORKFLOW = `import { createHubClient } from "@loom/client";
import { defineWorkflow } from "@loom/workflow";

defineWorkflow({ name: "a", requires: ["has-gpu"] })
  .step("b", { requires: ["has-gpu", "!docker", "gpu.vram-gb>=24", "docker | has-gpu", "loom-hub"] }, async () => {})
  .step("c", { host: "tower" }, async () => {})
  .step("d", { host: ({ input }) => String(input), hostHint: undefined }, async () => {});
defineWorkflow({ name: "e" }).step("f", { requires: ["has-gpuu"] }, async () => {}); // wrong
defineWorkflow({ name: "g" }).step("h", { requires: ["gpu.vram>=24"] }, async () => {}); // wrong
defineWorkflow({ name: "i" }).step("j", { host: "towr" }, async () => {}); // wrong
defineWorkflow({ name: "k" }).step("l", { hostHint: "towr" }, async () => {}); // wrong
defineWorkflow({ name: "m", requires: ["dokcer"] }); // wrong
const hub = createHubClient({ url: "http://pi:3000" });
void hub.startRun("visit");
void hub.startRun("vist"); // wrong
`;

describe("loom types", { timeout: 120_000 }, () => {
  test("makes a typo in a name a compile error", async ({ hub, loom, made, queue, project }) => {
    await made.nodes();
    await queue.hello({
      name: "forge",
      incarnation: "00000000-0000-4000-8000-000000000001",
      leaseMs: 45_000,
      capabilities: ["docker", "gpu.vram-gb=24", "workflow:visit", "os=linux"],
      slots: 1,
      isHub: false,
    });
    const file = path.join(project, "loom-fleet.d.ts");
    const written = await loom(["types", file]);
    expect(written).toMatchObject({ code: 0, stdout: "" });
    expect(readFileSync(file, "utf8").replace(hub.url, "<hub>")).toMatchInlineSnapshot(`
      "// Made by \`loom types\` of the hub at <hub>. Run it again when machines or workflows change.
      import "@loom/workflow";

      declare module "@loom/workflow" {
        interface Fleet {
          capabilities:
            | "code"
            | "docker"
            | "gpu.vram-gb"
            | "has-gpu"
            | "loom-hub"
            | "node"
            | "os";
          nodes:
            | "forge"
            | "pi"
            | "tower";
          workflows:
            | "ask"
            | "ask-ada"
            | "nightly"
            | "train"
            | "visit";
        }
      }
      "
    `);

    writeFileSync(path.join(project, "workflow.ts"), WORKFLOW);
    const { stdout } = await promisify(execFile)(process.execPath, [
      TSC,
      "-p",
      project,
      "--pretty",
      "false",
    ]).catch((error: { stdout: string }) => error);
    const lines = WORKFLOW.split("\n").flatMap((line, at) =>
      line.endsWith("// wrong") ? [at + 1] : [],
    );
    const errors = [...stdout.matchAll(/^\S*workflow\.ts\((\d+),/gm)].map(([, line]) =>
      Number(line),
    );
    expect(errors, stdout).toEqual(lines);
  });

  test("says where it cannot write", async ({ loom }) => {
    const { code, stderr } = await loom(["types", "/nowhere/fleet.d.ts"]);
    expect(code).toBe(exitInDocs("FILE_UNWRITABLE"));
    expect(stderr).toContain("[FILE_UNWRITABLE]");
  });
});
