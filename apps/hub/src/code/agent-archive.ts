import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { packTar } from "@loom/backup";
import { digestOf, type SigningKey, signStatement } from "@loom/code";
import { bundleProgram } from "@loom/code/bundle";
import type { AgentArchive } from "@loom/join";
import { type Log, programFiles } from "@loom/worker";
import { z } from "zod";

/**
 * The agent's package, which is found where it is installed and never imported: the hub only bundles its files.
 * Programs that the agent starts are found beside it, so they are entries of their own.
 */
const entriesOf = (): Record<string, string> => ({
  main: fileURLToPath(import.meta.resolve("@loom/node-agent/main")),
  ...programFiles,
});

const manifest = z.object({ version: z.string() });
const kept = z.object({ digest: z.string(), sequence: z.int() });

/**
 * Bundles the agent that is installed beside this hub, so a machine gets it without a package manager. That takes some
 * seconds, and happens when a machine first asks.
 *
 * @param options.folder - Keeps the sequence number, so that the same agent has the same one after a restart.
 */
export function createAgentArchive(options: {
  key: SigningKey;
  folder: string;
  log: Log;
}): () => Promise<AgentArchive> {
  let packed: Promise<AgentArchive> | undefined;
  return () => {
    packed ??= packAgent(options).catch((error: unknown) => {
      packed = undefined;
      throw error;
    });
    return packed;
  };
}

async function packAgent({
  key,
  folder,
  log,
}: Parameters<typeof createAgentArchive>[0]): Promise<AgentArchive> {
  const [{ files }, { version }] = await Promise.all([
    bundleProgram({ entries: entriesOf() }),
    readManifest(),
  ]);
  const archive = packTar(
    new Map([
      // Node reads the type of module there, and the agent its version.
      ["package.json", `${JSON.stringify({ name: "loom-agent", version, type: "module" })}\n`],
      ...[...files].map(([name, text]): [string, string] => [`lib/${name}`, text]),
    ]),
  );
  const digest = digestOf(archive);
  const sequence = await sequenceOf(digest, { file: path.join(folder, "agent.json"), log });
  const statement = { kind: "agent", name: version, digest, manifestDigest: "", sequence } as const;
  return { version, digest, sequence, signature: signStatement(statement, key), archive };
}

async function readManifest(): Promise<z.output<typeof manifest>> {
  const file = fileURLToPath(import.meta.resolve("@loom/node-agent/package.json"));
  return manifest.parse(JSON.parse(await readFile(file, "utf8")));
}

/** The time at which this hub first packed this agent, and higher than that of the one before. */
async function sequenceOf(
  digest: string,
  { file, log }: { file: string; log: Log },
): Promise<number> {
  const before = await readFile(file, "utf8").then(
    (text) => kept.safeParse(JSON.parse(text)).data,
    () => undefined,
  );
  if (before?.digest === digest) return before.sequence;
  const sequence = Math.max(Date.now(), (before?.sequence ?? 0) + 1);
  await writeFile(file, JSON.stringify({ digest, sequence }), { mode: 0o600 }).catch(
    (error: unknown) => {
      log.warn({ err: error }, "the hub cannot keep the sequence number of its agent");
    },
  );
  return sequence;
}
