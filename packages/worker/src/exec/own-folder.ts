// The folder of a command with files: filled before it begins, and read when it has ended.
import { lstat, mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { pack, unpack } from "@loom/archive";
import type { FileRef, JsonValue } from "@loom/workflow";
import { isDiskFull, nodeDiskFull } from "../files/file-transfer.ts";
import { createStepFiles } from "../files/step-files.ts";
import { classify, type Outcome } from "../outcome.ts";
import type { Surroundings } from "../step-process/run-step.ts";
import type { ExecOrder } from "./gate.ts";

/** A command ended well and did not make what should be brought back. */
class OutputMissingError extends Error {
  override readonly name = "OutputMissingError";
  readonly code = "EXEC_OUT_MISSING";
  constructor(missing: readonly string[]) {
    super(
      `the command ended with 0 and made no ${missing.join(", no ")}: --out names paths in the folder that it runs in`,
    );
  }
}

/** The two paths of a link, as far as people read them. */
const MAX_UNSENT = 2_000;

type Carrier = Pick<Surroundings, "filesFolder" | "askForFile" | "signal">;

const stepFilesOf = ({ filesFolder, askForFile, signal }: Carrier) =>
  createStepFiles({ folder: filesFolder, ask: askForFile, signal });

/**
 * Makes the folder that a command runs in, with what its caller sent. It goes with the attempt.
 *
 * @returns Its path.
 * @throws FileError, ArchiveError.
 */
export async function openOwnFolder(
  order: Pick<ExecOrder, "in">,
  carrier: Carrier,
): Promise<string> {
  const { filesFolder, signal } = carrier;
  const folder = path.join(filesFolder, "command");
  if (order.in === null) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    return folder;
  }
  const archive = await stepFilesOf(carrier).get(order.in);
  await unpack(archive, { to: folder, signal }).catch((error: unknown) => {
    throw isDiskFull(error) ? nodeDiskFull("what --in sends", filesFolder, error) : error;
  });
  await rm(archive);
  return folder;
}

/**
 * Stores what a command has made as a file of its run, whether it ended well or not.
 *
 * @param outcome - How the command ended. It stays, unless it was good and a path is missing or cannot be stored.
 * @returns The outcome with the file in its result or its error, as `out`; and the paths that are not there, as `missing`.
 */
export async function collectOutput(
  { name, paths }: NonNullable<ExecOrder["out"]>,
  outcome: Extract<Outcome, { outcome: "succeeded" | "failed" }>,
  {
    cwd,
    scrub = (text) => text,
    ...carrier
  }: Carrier & Pick<Surroundings, "scrub"> & { cwd: string },
): Promise<Outcome> {
  const made: string[] = [];
  const missing: string[] = [];
  for (const one of paths) {
    const isThere = await lstat(path.join(cwd, one)).then(
      () => true,
      () => false,
    );
    (isThere ? made : missing).push(one);
  }
  let out: FileRef | null = null;
  let problem: unknown = missing.length > 0 ? new OutputMissingError(missing) : undefined;
  if (made.length > 0) {
    const to = path.join(carrier.filesFolder, name);
    try {
      await pack(cwd, { to, paths: made, signal: carrier.signal });
      out = await stepFilesOf(carrier).put(name, to);
    } catch (error) {
      problem = isDiskFull(error)
        ? nodeDiskFull("the archive of --out", carrier.filesFolder, error)
        : error;
    }
  }
  if (outcome.outcome === "succeeded") {
    if (problem === undefined) return { ...outcome, result: { exitCode: 0, out } };
    const failed = classify(problem, scrub);
    return failed.outcome === "failed"
      ? withOutput(failed, { out, missing: missing.slice(0, 10) })
      : failed;
  }
  const { message: unsent } = (out === null ? (problem ?? {}) : {}) as Partial<Error>;
  return withOutput(outcome, {
    ...{ out, missing: missing.slice(0, 10) },
    // It may quote the name or the target of a link, which the command has made.
    ...(made.length > 0 && unsent !== undefined && { unsent: scrub(unsent).slice(0, MAX_UNSENT) }),
  });
}

const withOutput = (
  outcome: Extract<Outcome, { outcome: "failed" }>,
  facts: Record<string, JsonValue>,
): Outcome => ({
  ...outcome,
  error: { ...(outcome.error as Record<string, JsonValue>), ...facts },
});
