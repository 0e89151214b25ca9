import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import path from "node:path";
import { defineWorkflow, NonRetryableError } from "@loom/workflow";
import { z } from "zod";

const FILMS = [".mkv", ".avi", ".mov", ".mpg", ".wmv", ".ts", ".mp4"];
/** So many names are shown to the person who approves. */
const SHOWN = 10;

/**
 * Transcodes the films of a folder to H.264 on every machine that has the folder and ffmpeg, when a person has seen
 * what there is to do and said how well it is to be done.
 *
 * A machine takes part if its owner says so: `LOOM_CAPABILITIES=transcode`. A film that is there already is left alone,
 * so a second run does what the first one did not.
 */
export const transcodeFolder = defineWorkflow({
  name: "transcode-folder",
  input: z.object({
    /** The folder with the films, at the same path on every machine: a share, for example. */
    folder: z.string().refine(path.isAbsolute, "must be an absolute path"),
    /** Where the results go; below it the folders are the same. */
    into: z.string().refine(path.isAbsolute, "must be an absolute path"),
  }),
  requires: ["transcode"],
  retention: { succeeded: "14d", failed: "90d" },
})
  .step("list", { timeout: "10m" }, async ({ input: { folder, into } }) => {
    const files: { path: string; bytes: number }[] = [];
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      const file = path.join(entry.parentPath, entry.name);
      const isFilm = entry.isFile() && FILMS.includes(path.extname(entry.name).toLowerCase());
      // A result may be in a folder below.
      if (!isFilm || isWithin(into, file)) continue;
      const name = path.relative(folder, file);
      if ((await sizeOf(path.join(into, resultOf(name)))) > 0) continue;
      files.push({ path: name, bytes: await sizeOf(file) });
    }
    files.sort((a, b) => b.bytes - a.bytes);
    return { files, bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
  })
  .approve("begin", {
    after: ["list"],
    // Without anything to do, nobody is asked, and the run succeeds.
    when: ({ results }) => results.list.files.length > 0,
    skip: "cascade",
    title: "Transcode these films?",
    show: ({ input, results }) => ({
      folder: input.folder,
      into: input.into,
      films: results.list.files.length,
      gigabytes: Math.round(results.list.bytes / 1e8) / 10,
      largest: results.list.files
        .slice(0, SHOWN)
        .map(({ path }) => path)
        .join(", "),
    }),
    input: z.object({
      quality: z.int().min(0).max(51).default(23).describe("0 is the best, 51 the smallest"),
      preset: z.enum(["veryfast", "medium", "slow"]).default("medium"),
    }),
    timeout: "7d",
  })
  .map(
    "encode",
    {
      over: "list.files",
      after: ["begin"],
      key: "path",
      tolerate: "10%",
      timeout: "12h",
      retry: { attempts: 2 },
    },
    async ({ input, item, results, run, exec, log }) => {
      const source = path.join(input.folder, item.path);
      const target = path.join(input.into, resultOf(item.path));
      const { quality, preset } = results.begin.input;
      // Another attempt may be writing: each has a file of its own, and the last one to end wins.
      const part = `${target}.${run.id ?? "alone"}-${process.pid}.part.mp4`;
      await mkdir(path.dirname(target), { recursive: true });
      try {
        const coded = [
          "-c:v",
          "libx264",
          "-crf",
          String(quality),
          "-preset",
          preset,
          "-c:a",
          "aac",
        ];
        await exec(["ffmpeg", "-nostdin", "-v", "warning", "-y", "-i", source, ...coded, part]);
        const bytes = await sizeOf(part);
        if (bytes === 0) throw new NonRetryableError(`ffmpeg wrote nothing for ${item.path}`);
        await rename(part, target);
        log.info({ bytes }, "transcoded");
        return { bytes };
      } finally {
        await rm(part, { force: true });
      }
    },
  )
  .step("report", { after: ["list", "encode"], timeout: "1m" }, async ({ results, log }) => {
    const { list, encode } = results;
    const failed = encode.flatMap((entry, at) => (entry.ok ? [] : [list.files[at]?.path ?? ""]));
    const after = encode.reduce((sum, entry) => sum + (entry.ok ? entry.value.bytes : 0), 0);
    const before = list.files.reduce((sum, { bytes }, at) => sum + (encode[at]?.ok ? bytes : 0), 0);
    for (const film of failed) log.warn({ film }, "not transcoded");
    return { films: encode.length - failed.length, failed, savedBytes: before - after };
  });

const resultOf = (name: string): string =>
  path.join(path.dirname(name), `${path.parse(name).name}.mp4`);

const isWithin = (folder: string, file: string): boolean =>
  !path.relative(folder, file).startsWith("..");

const sizeOf = (file: string): Promise<number> =>
  stat(file).then(
    ({ size }) => size,
    () => 0,
  );
