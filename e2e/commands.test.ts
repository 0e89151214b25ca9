import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type System, startSystem } from "./support/system.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const WORKFLOWS = path.join(ROOT, `e2e/.workflows-${process.pid}`);

/** What the hub's page calls by this name. */
const NIGHTLY_TRAIN = `import { cron, defineWorkflow } from "@loom/workflow";

export const nightlyTrain = defineWorkflow({ name: "nightly-train", schedule: cron("30 2 * * *") })
  .step("train", { requires: ["has-gpu"] }, async () => {});
`;

/** The workflow whose approval the requests of docs/forms.md decide. */
const SHIP = `import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";

export const ship = defineWorkflow({ name: "ship" }).approve("ship", {
  title: "Ship the order?",
  input: z.object({ express: z.boolean().default(false) }),
});
`;

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
    mkdirSync(WORKFLOWS, { recursive: true });
    const [, code = ""] = /```ts\n([\s\S]*?)```/.exec(readDocument("README.md")) ?? [];
    writeFileSync(path.join(WORKFLOWS, "visit.ts"), code);
    writeFileSync(path.join(WORKFLOWS, "nightly-train.ts"), NIGHTLY_TRAIN);
    writeFileSync(path.join(WORKFLOWS, "ship.ts"), SHIP);
    writeFileSync(path.join(WORKFLOWS, "shipped.ts"), `export * from "@loom/workflows";\n`);
    system = await startSystem({ workflows: pathToFileURL(WORKFLOWS) });
    await system.startAgent("pop-os", ["has-gpu"]);
    await system.startAgent("tower", []);
  });
  afterAll(async () => {
    await system?.stop();
    rmSync(WORKFLOWS, { recursive: true, force: true });
  });

  /** Lets a run ask for an approval. */
  async function ask(): Promise<{ id: string; digest: string }> {
    const started = await system.call("POST", "/strands/ship/run", {});
    expect(started).toMatchObject({ status: 202 });
    const list = async () =>
      (await system.call("GET", "/approvals")).body.data as { id: number; digest: string }[];
    await expect.poll(list, { timeout: 20_000 }).not.toHaveLength(0);
    const [asked] = await list();
    return { id: String(asked?.id), digest: asked?.digest ?? "" };
  }

  test.for(
    ["README.md", "apps/hub/README.md", "workflows/README.md", "docs/forms.md"].flatMap(commandsOf),
  )("$title", async ({ text, status }) => {
    const approval = text.includes("/approvals/") ? await ask() : { id: "", digest: "" };
    const command = text
      .replace("/approvals/42/", `/approvals/${approval.id}/`)
      .replace("<digest>", approval.digest)
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
  });
});
