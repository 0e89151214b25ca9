import { readdir, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import {
  createCodeStore,
  keyIdOf,
  loadSigningKey,
  MAX_BUNDLE_BYTES,
  packSource,
  type SignedCode,
  signWorkflow,
} from "@loom/code";
import type { Queue } from "@loom/queue";
import { planRun } from "@loom/scheduler";
import { createFetchedCode, createProcessRunner, createWorker, fetchFromQueue } from "@loom/worker";
import { defineWorkflow } from "@loom/workflow";
import { describe, expect, onTestFinished } from "vitest";
import { jobOf, over, test } from "./fixtures.ts";
import { recordLog } from "./recorded-log.ts";
import { codeOf, folderOf } from "./workflow-folder.ts";

const HELPER = `export function answer(): number {
  if (process.env.FAILS) throw new Error("no answer");
  return 42;
}
`;
const WORK = `import { defineWorkflow } from "@loom/workflow";
import { answer } from "./helper.ts";

export const work: unknown = defineWorkflow({ name: "work" })
  .step("only", {}, async ({ node }) => ({ node, answer: answer() }));
`;
/** As the file, for planning: what runs is the bundle. */
const work = defineWorkflow({ name: "work" }).step("only", { host: "forge" }, async () => {});

/** A bundle of the workflow as its hub has it, and a node called forge that accepts code of that hub. */
async function setUp(queue: Queue, env: Record<string, string> = {}) {
  const hub = await codeOf();
  const folder = await folderOf({ "work.ts": WORK, "helper.ts": HELPER });
  const { digest } = await hub.code.bundle(path.join(folder, "work.ts"));
  const code = await hub.store.read(digest);
  if (!code) throw new Error("the bundle is gone");
  const state = await folderOf({});
  const log = recordLog();
  const { publicKey } = hub.key;
  let fetches = 0;
  const fetch = fetchFromQueue({ queue, node: "forge", publicKey });
  const fetched = createFetchedCode({
    store: createCodeStore({ folder: path.join(state, "code"), publicKey }),
    fetch(wanted) {
      fetches += 1;
      return fetch(wanted);
    },
    hasModule: (name) => name === "installed",
    log,
  });
  const worker = createWorker({
    node: { name: "forge", capabilities: ["code"] },
    queue,
    workflows: [],
    runner: createProcessRunner({ code: fetched, env: { PATH: process.env.PATH, ...env } }),
    log,
    graceMs: 0,
    heartbeatMs: 25,
    pollMs: 25,
    concurrency: 4,
  });
  const stop = new AbortController();
  const done = worker.run({ signal: stop.signal });
  onTestFinished(async () => {
    stop.abort();
    await done;
  });
  return {
    ...{ hub, folder, state, digest, code, fetched },
    fetches: () => fetches,
    async store({ statement, manifest, signature, source }: SignedCode, packed?: string) {
      const signed = { name: statement.name, manifest, signature };
      const bundle = { workflows: ["work"], key: keyIdOf(publicKey), signed };
      await queue.storeCode(digest, { ...bundle, source: packed ?? (await packSource(source)) });
    },
    begin: async (externals: string[] = []) =>
      (await queue.startRun(planRun(work, { version: digest, externals }))).runId,
  };
}

describe("a node that accepts code", { timeout: 60_000 }, () => {
  test("runs code that it has never seen, and fetches it once for many steps", async ({
    queue,
  }) => {
    const { store, code, begin, fetches, fetched, state, digest } = await setUp(queue);
    await store(code);
    const runs = await Promise.all([begin(), begin(), begin()]);
    for (const run of runs) {
      await over(queue, run);
      expect(await jobOf(queue, run)).toMatchObject({
        ...{ state: "succeeded", ranOn: "forge", result: { node: "forge", answer: 42 } },
      });
    }
    expect(fetches()).toBe(1);
    expect(fetched.fault()).toBeNull();
    // The node fetches a lost file again.
    await rm(path.join(state, "code", `${digest}.mjs`));
    await over(queue, await begin());
    expect(fetches()).toBe(2);
  });

  test("keeps a run's version while its file changes", async ({ queue }) => {
    const { store, code, begin, hub, folder, digest } = await setUp(queue);
    await store(code);
    const run = await begin();
    await writeFile(path.join(folder, "helper.ts"), HELPER.replace("42", "43"));
    const changed = await hub.code.bundle(path.join(folder, "work.ts"));
    expect(changed.digest).not.toBe(digest);
    await over(queue, run);
    expect(await jobOf(queue, run)).toMatchObject({ result: { answer: 42 } });
  });

  test("reports an error in the bundle, which its hub maps to the author's line", async ({
    queue,
  }) => {
    const { store, code, begin, hub, folder } = await setUp(queue, { FAILS: "1" });
    await store(code);
    const run = await begin();
    await over(queue, run);
    const { error } = (await jobOf(queue, run)) as unknown as { error: { stack: string } };
    expect(error.stack).toContain(".mjs:");
    const mapped = await hub.code.toAuthor(error.stack);
    expect(mapped).toContain(`at answer (${path.join(folder, "helper.ts")}:2:32)`);
    expect(mapped).toContain(`${path.join(folder, "work.ts")}:5:58`);
  });

  test.for<
    [
      string,
      string,
      (code: SignedCode) => Promise<{ code: SignedCode; packed?: string } | undefined>,
    ]
  >([
    [
      "whose bytes were changed",
      "CODE_DIGEST_MISMATCH",
      async (code) => ({ code: { ...code, source: code.source.replace("42", "666") } }),
    ],
    [
      "that was cut off",
      "CODE_DIGEST_MISMATCH",
      async (code) => ({ code, packed: (await packSource(code.source)).slice(0, 1_000) }),
    ],
    [
      "that another hub signed",
      "CODE_SIGNATURE_REFUSED",
      async ({ source }) => {
        const folder = await folderOf({});
        const other = await loadSigningKey(path.join(folder, "key"));
        return { code: signWorkflow({ name: "work.ts", source, externals: [] }, other) };
      },
    ],
    [
      "whose manifest was changed",
      "CODE_SIGNATURE_REFUSED",
      async (code) => ({ code: { ...code, manifest: '{"externals":["installed"]}' } }),
    ],
    [
      "that is too large",
      "CODE_TOO_LARGE",
      async (code) => ({ code, packed: await packSource("a".repeat(MAX_BUNDLE_BYTES + 1)) }),
    ],
    ["that is not in the database", "CODE_UNAVAILABLE", async () => undefined],
  ])("gives a job back with code %s: %s", async ([, refused, spoil], { queue }) => {
    const { store, code, begin, fetched, state } = await setUp(queue);
    const spoilt = await spoil(code);
    if (spoilt) await store(spoilt.code, spoilt.packed);
    const run = await begin();
    await expect.poll(async () => (await jobOf(queue, run)).declinedBy).toContain("forge");
    const job = await jobOf(queue, run);
    expect(job).toMatchObject({ attempt: 0 });
    expect(JSON.stringify(job)).toContain(refused);
    expect(fetched.fault()).toMatchObject({ code: refused });
    // Nothing of it is left.
    expect(await readdir(path.join(state, "code")).catch(() => [])).toEqual([]);
  });

  test("gives back a job whose code needs a missing native module", async ({ queue }) => {
    const { store, hub, code, begin, fetched } = await setUp(queue);
    const { source } = code;
    await store(
      signWorkflow({ name: "work.ts", source, externals: ["installed", "native-db"] }, hub.key),
    );
    const run = await begin();
    await expect.poll(async () => (await jobOf(queue, run)).declinedBy).toContain("forge");
    expect(fetched.fault()?.message).toMatch(/needs native-db, which this machine does not have/);
  });
});
