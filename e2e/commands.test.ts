import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const WORKFLOWS = path.join(ROOT, `e2e/.workflows-${process.pid}`);

/** A command of curl's in a document, and the status that the comment behind it tells. */
interface Command {
  title: string;
  text: string;
  status: string | undefined;
}

const readDocument = (name: string): string => readFileSync(path.join(ROOT, name), "utf8");

function commandsOf(document: string): Command[] {
  const blocks = [...readDocument(document).matchAll(/```sh\n([\s\S]*?)```/g)];
  return blocks.flatMap(([, block = ""]) =>
    [...block.matchAll(/^curl (?:.*\\\n)*.*$(?:\n# (\d{3}))?/gm)].map(([found, status]) => {
      const text = found.replace(/\n#.*$/, "");
      return { title: `${document}: ${text.split("\n")[0]}`, text, status };
    }),
  );
}

describe("the commands in the documents", () => {
  let system: System;
  /** What was answered last: an id that a document leaves out stands for it. */
  const last = { runId: "", id: "" };

  beforeAll(async () => {
    mkdirSync(path.join(WORKFLOWS, "nightly-train"), { recursive: true });
    const [, code = ""] = /```ts\n([\s\S]*?)```/.exec(readDocument("README.md")) ?? [];
    writeFileSync(path.join(WORKFLOWS, "nightly-train/workflow.ts"), code);
    writeFileSync(path.join(WORKFLOWS, "shipped.ts"), `export * from "@loom/workflows";\n`);
    system = await startSystem({ workflows: pathToFileURL(WORKFLOWS) });
    await system.startAgent("pop-os", ["has-gpu", "has-nas-creds"]);
  });
  afterAll(async () => {
    await system?.stop();
    rmSync(WORKFLOWS, { recursive: true, force: true });
  });

  test.for(["README.md", "apps/hub/README.md", "workflows/README.md"].flatMap(commandsOf))(
    "$title",
    async ({ text, status }) => {
      const command = text
        .replaceAll(/http:\/\/127\.0\.0\.1:3000|\$HUB/g, system.url)
        .replaceAll(/<runId>|9b2f…/g, last.runId)
        .replaceAll("<id>", last.id);
      expect(command).not.toMatch(/[<…]/);
      const { stdout } = await promisify(execFile)(
        "bash",
        ["-c", `curl() { command curl -sS --max-time 20 -w '\\n%{http_code}' "$@"; }\n${command}`],
        { env: { ...process.env, LOOM_TOKEN: system.token } },
      );
      const [, body = "", answered = ""] = /^([\s\S]*)\n(\d{3})$/.exec(stdout) ?? [];
      expect(answered, body).toMatch(status ?? /^2\d\d$/);
      if (body.startsWith("{")) Object.assign(last, JSON.parse(body));
    },
  );
});
