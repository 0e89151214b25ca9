import { stat } from "node:fs/promises";
import path from "node:path";
import { describeSize, type RunFile } from "@loom/client";
import { problemOfFileName } from "@loom/workflow";
import type { Cli, Program } from "../cli.ts";
import { CliError, unknownName } from "../errors.ts";
import { download } from "../hub/carry-file.ts";
import { findRun } from "../hub/find-run.ts";
import { ago, clean, shortId } from "../output/text.ts";

/** `files` and `download`: what the steps of a run have stored. */
export function defineFiles(program: Program, cli: Cli): void {
  program
    .command("files")
    .description("list the files that a run has")
    .argument("<run>", "a run, by its id or the beginning of it")
    .action(async (word) => {
      const { client } = cli.hub();
      const run = await findRun(client, word);
      const { data } = await client.listRunFiles(run);
      if (cli.json) return cli.printJson({ files: data });
      if (data.length === 0)
        return cli.note("the run has no files: a step stores one with ctx.files.put");
      cli.table(
        ["FILE", "SIZE", "STEP", "STORED", "SHA-256"],
        data.map(({ name, size, step, createdAt, sha256 }) => [
          clean(name),
          describeSize(size),
          step ?? "input",
          ago(createdAt),
          sha256.slice(0, 12),
        ]),
      );
      cli.note(`\nloom download ${shortId(run)} FILE`);
    });

  program
    .command("download")
    .summary("download a file of a run")
    .description("Download a file of a run, and check it. A download that broke off goes on.")
    .argument("<run>", "a run, by its id or the beginning of it")
    .argument("<file>", "its name, or the beginning of its SHA-256")
    .option("-o, --output <path>", "where to put it; by default under its name in this folder")
    .option("--force", "replace what is there")
    .action(async (word, file, { output, force = false }) => {
      const { client } = cli.hub();
      const run = await findRun(client, word);
      const { data } = await client.listRunFiles(run);
      const found = findFile(data, file, cli.argv);
      const to = path.resolve(output ?? plainName(found));
      if (!force && (await exists(to))) {
        throw new CliError("FILE_UNWRITABLE", {
          what: `${to} exists already`,
          why: "a download replaces nothing by itself",
          fix: `add --force, or name another place with --output`,
        });
      }
      await download(client, { run, file: found, to });
      if (cli.json) cli.printJson({ path: to, size: found.size, sha256: found.sha256 });
      else cli.print(to);
    });
}

/** The newest file that has the name, or the one whose digest begins so. */
function findFile(files: readonly RunFile[], word: string, argv: readonly string[]): RunFile {
  const found =
    files.findLast(({ name }) => name === word) ??
    (/^[0-9a-f]{6,64}$/.test(word)
      ? files.find(({ sha256 }) => sha256.startsWith(word))
      : undefined);
  if (found) return found;
  throw unknownName("FILE_NOT_FOUND", {
    what: `the run has no file ${word}`,
    name: word,
    known: files.map(({ name }) => name),
    argv,
    list: "loom files RUN",
  });
}

/** The name that a step gave, if it is one here as well: it becomes a path. */
function plainName({ name }: RunFile): string {
  if (problemOfFileName(name) === undefined && !/^[A-Za-z]:|[<>:"|?*]/.test(name)) return name;
  throw new CliError("FILE_UNWRITABLE", {
    what: "the file's name cannot be a path here",
    why: "a step chose it",
    fix: "name a place with --output",
  });
}

const exists = (file: string): Promise<boolean> =>
  stat(file).then(
    () => true,
    () => false,
  );
