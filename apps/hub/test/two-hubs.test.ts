import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished } from "vitest";
import { type Body, startProgram, TOKEN, test } from "./fixtures.ts";

/** A hub with its own node and its own file of the workflow "mine". */
async function startOne(
  { url, serviceKey }: { url: string; serviceKey: string },
  { name, folder, env = {} }: { name: string; folder: string; env?: Record<string, string> },
) {
  const flows = path.join(folder, name);
  await mkdir(flows);
  await writeFile(
    path.join(flows, "mine.ts"),
    `import { defineWorkflow } from "@loom/workflow";
export default defineWorkflow({ name: "mine" }).step("only", {}, async ({ node }) => ({ node, said: "${name}'s" }));
`,
  );
  const program = await startProgram(["start"], {
    SUPABASE_URL: url,
    SUPABASE_SECRET_KEY: serviceKey,
    LOOM_TOKEN: TOKEN,
    LOOM_NODE_NAME: name,
    LOOM_WORKFLOWS_DIR: flows,
    LOOM_STATE_DIR: path.join(folder, `${name}-state`),
    LOOM_WAKE: "off",
    PORT: "0",
    ...env,
  });
  const { url: address } = await program.said("listening");
  const ask = async (method: string, at: string): Promise<Body> => {
    const headers = { authorization: `Bearer ${TOKEN}` };
    return (await (await fetch(`${address}/api/loom${at}`, { method, headers })).json()) as Body;
  };
  return {
    /** Runs the workflow as this hub knows it, to its end; its step. */
    async run() {
      const { runId } = await ask("POST", "/strands/mine/run");
      await expect.poll(async () => (await ask("GET", `/runs/${runId}`)).status).toBe("succeeded");
      const { steps } = (await ask("GET", `/runs/${runId}`)) as { steps: Body[] };
      return steps[0];
    },
  };
}

describe("two hubs of one database with different code", { timeout: 120_000 }, () => {
  test("each runs its own version, on its own node where they sign with different keys", async ({
    database,
    queue,
  }) => {
    const folder = await mkdtemp(path.join(tmpdir(), "loom-two-hubs-"));
    onTestFinished(() => rm(folder, { recursive: true }));
    const forge = await startOne(database, { name: "forge", folder });
    const anvil = await startOne(database, { name: "anvil", folder });
    const [one, other] = await Promise.all([forge.run(), anvil.run()]);
    expect(one).toMatchObject({ host: "forge", result: { node: "forge", said: "forge's" } });
    expect(other).toMatchObject({ host: "anvil", result: { node: "anvil", said: "anvil's" } });
    expect(await queue.verify()).toEqual([]);
  });
});
