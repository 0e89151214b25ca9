// The files of a command: what is sent with it, and what is brought back from it.
import { access, constants, cp, lstat, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { ArchiveError, pack, unpack } from "@loom/archive";
import { describeSize, type HubClient, type Run, type StoredFile } from "@loom/client";
import { type FileRef, isFileRef, problemOfPath } from "@loom/workflow";
import { type ExecCommand, type ExecOutput, outputsOf } from "@loom/workflow/exec";
import type { Cli } from "../cli.ts";
import { CliError } from "../errors.ts";
import { download, upload } from "../hub/carry-file.ts";
import { clean, shortId } from "../output/text.ts";
import { withTemporary } from "./temporary.ts";

/**
 * Packs a folder, or a file, and sends it to the hub.
 *
 * @throws CliError `FILE_UNREADABLE`, and the codes of ArchiveError; HubError.
 */
export async function sendInput(client: HubClient, place: string): Promise<StoredFile> {
  const whole = path.resolve(place);
  const found = await stat(whole).catch((cause: Error) => {
    throw unreadable(place, cause);
  });
  const isFolder = found.isDirectory();
  return await withTemporary(path.join(tmpdir(), "loom-in-"), async (folder) => {
    const file = path.join(folder, "archive");
    const from = isFolder ? whole : path.dirname(whole);
    const paths = isFolder ? {} : { paths: [path.basename(whole)] };
    await pack(from, { to: file, ...paths }).catch((cause: Error) => {
      throw cause instanceof ArchiveError ? toCliError(cause, place) : unreadable(place, cause);
    });
    return await upload(client, { file, name: "in.tar.gz" });
  });
}

const unreadable = (place: string, cause: Error): CliError =>
  new CliError("FILE_UNREADABLE", {
    what: `${place} cannot be sent`,
    why: cause.message,
    fix: "--in names a folder or a file that you can read",
    cause,
  });

function toCliError(cause: ArchiveError, subject: string): CliError {
  const { code, why, fix } = cause;
  const what = `${subject} is not an archive that goes from machine to machine`;
  return new CliError(code, { what, why, fix, cause });
}

/**
 * Checks, before a command runs, that what it brings back has a place in this folder.
 *
 * @throws CliError `FILE_UNWRITABLE`
 */
export async function checkPlaces(
  outputs: readonly ExecOutput[],
  { force }: { force: boolean },
): Promise<void> {
  await access(".", constants.W_OK).catch((cause: Error) => {
    throw new CliError("FILE_UNWRITABLE", {
      what: "this folder cannot be written to",
      why: cause.message,
      fix: "go to another folder: what a command brings back is put where you are",
      cause,
    });
  });
  for (const { to } of outputs.flatMap(({ paths }) => paths)) {
    const problem = problemOfPath(to);
    if (problem !== undefined) throw refused(to, problem);
    if (!force && (await findAt(to))) throw inTheWay(to);
  }
}

const refused = (to: string, problem: string): CliError =>
  new CliError("FILE_UNWRITABLE", {
    what: `${JSON.stringify(to)} is no place in this folder`,
    why: `the path ${problem}`,
    fix: "loom files RUN lists the archives, and loom download gets one",
  });

const inTheWay = (to: string): CliError =>
  new CliError("FILE_UNWRITABLE", {
    what: `${to} exists already`,
    why: "what a command brings back replaces nothing by itself",
    fix: "add --force, move it away, or go to another folder; loom attach --no-out leaves it with the run",
  });

/**
 * Downloads what the commands of a run have made, and puts it into this folder.
 *
 * @throws CliError `FILE_UNWRITABLE`, `FILE_DIGEST_MISMATCH`, and the codes of ArchiveError; HubError.
 */
export async function bringBack(cli: Cli, run: Run, { force }: { force: boolean }): Promise<void> {
  const outputs = outputsOf(run.input as unknown as ExecCommand).filter(
    ({ paths }) => paths.length > 0,
  );
  await checkPlaces(outputs, { force });
  for (const { step, paths } of outputs) {
    const found = run.steps.find((each) => each.step === step);
    const facts = (found?.result ?? found?.error ?? {}) as Partial<Made>;
    if (isFileRef(facts.out)) {
      await bring(cli, { run: run.id, file: facts.out, paths, force });
    }
    const isSaid = facts.code === "EXEC_OUT_MISSING" && outputs.length === 1;
    const label = outputs.length > 1 ? `${step.replace(/^command-/, "")}: ` : "";
    if (typeof facts.unsent === "string") cli.note(`loom: ${label}${clean(facts.unsent)}`);
    if (Array.isArray(facts.missing) && facts.missing.length > 0 && !isSaid) {
      cli.note(`loom: ${label}the command made no ${clean(facts.missing.join(", no "))}`);
    }
  }
}

/** What a node says about the files of a command, in its result or in its error. */
interface Made {
  out: FileRef;
  missing: unknown[];
  unsent: string;
  code: string;
}

async function bring(
  cli: Cli,
  {
    run,
    file,
    paths,
    force,
  }: { run: string; file: FileRef; paths: ExecOutput["paths"]; force: boolean },
): Promise<void> {
  const { client } = cli.hub();
  // In this folder, so that files are moved and not copied.
  await withTemporary(path.resolve(".loom-out-"), async (folder) => {
    const archive = path.join(folder, "archive");
    const unpacked = path.join(folder, "files");
    await download(client, { run, file, to: archive });
    const only = paths.map(({ from }) => from);
    const { bytes } = await unpack(archive, { to: unpacked, only }).catch((error: unknown) => {
      throw error instanceof ArchiveError
        ? toCliError(error, `${file.name} of ${shortId(run)}`)
        : error;
    });
    const placed: string[] = [];
    for (const { from, to } of paths) {
      const source = path.join(unpacked, from);
      if (!(await findAt(source))) continue;
      await place(source, to, { force });
      placed.push(to);
    }
    if (cli.json) cli.printJson({ out: { paths: placed.map((to) => path.resolve(to)), bytes } });
    else cli.note(`brought back ${clean(placed.join(", "))} (${describeSize(bytes)})`);
  });
}

/** Moves something to its place. With `force`, folders are merged, and what else is there is replaced. */
async function place(from: string, to: string, { force }: { force: boolean }): Promise<void> {
  const there = await findAt(to);
  if (there && !force) throw inTheWay(to);
  const isFolder = (await lstat(from)).isDirectory();
  if (isFolder && there?.isDirectory()) {
    for (const name of await readdir(from)) {
      await place(path.join(from, name), path.join(to, name), { force });
    }
    return;
  }
  if (there?.isDirectory()) {
    throw new CliError("FILE_UNWRITABLE", {
      what: `${to} is a folder here, and a file there`,
      why: "--force replaces no folder by a file",
      fix: "remove the folder, or go to another one",
    });
  }
  if (isFolder && there) await rm(to);
  await mkdir(path.dirname(to), { recursive: true });
  await rename(from, to).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== "EXDEV") throw error;
    await cp(from, to, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
  });
}

const findAt = (place: string) => lstat(place).catch(() => undefined);
