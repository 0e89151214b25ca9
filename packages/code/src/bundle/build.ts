import type { ChildProcess } from "node:child_process";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { existsSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { BuildFailure, BuildOptions, Metafile } from "esbuild";
import { ownPackages } from "./native.ts";
import { toBundleError } from "./problem.ts";

/** This package's folder. A workflow's folder may leave out the packages that this one depends on. */
const HERE = path.dirname(fileURLToPath(import.meta.url));

/** How long esbuild's process, of 20 MiB, is kept for the next bundle. */
const IDLE_MS = 10_000;

/** Names that CommonJS expects and that a module lacks, by their names in the bundle. */
const DEFINE = { __filename: "__loomFilename", __dirname: "__loomDirname" };

/**
 * A first line that defines the names that CommonJS expects. It defines only the names that the bundle uses, because
 * an author's module may have its own `require`. If a bundle has both, esbuild has renamed the author's.
 */
function headerFor(text: string): string {
  const parts = [
    text.includes("typeof require")
      ? 'import{createRequire as __loomRequire}from"node:module";const require=__loomRequire(import.meta.url);'
      : "",
    text.includes("__loomFilename") ? "const __loomFilename=import.meta.filename;" : "",
    text.includes("__loomDirname") ? "const __loomDirname=import.meta.dirname;" : "",
  ];
  return parts.join("");
}

let building = 0;
let idle: NodeJS.Timeout | undefined;
/** Ends esbuild's process, if there is one. */
let end: (() => void) | undefined;

/** The options of every bundle: one ESM file for Node, with the same bytes whichever folder it is made in. */
const options = (folder: string): BuildOptions => ({
  absWorkingDir: folder,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node22.18",
  charset: "utf8",
  // Comments would hold the paths of files. Names stay, for stack traces.
  minifyWhitespace: true,
  legalComments: "none",
  logLevel: "silent",
  // The sources of this repository, when it runs from them.
  conditions: import.meta.url.endsWith(".ts") ? ["@loom/source"] : [],
});

/** The part of esbuild's result that is needed here. */
export interface Built {
  /** By name, as in `entryPoints`; a source map has the name of its file and `.map`. */
  files: ReadonlyMap<string, string>;
  metafile: Metafile;
  /** Every file that was read, absolute and sorted. */
  inputs: string[];
}

/**
 * Bundles files.
 *
 * @throws BundleError with file, line and a code frame.
 */
export async function bundle({
  entry,
  folder,
  plugins = [],
  ...more
}: { entry: string; folder: string } & BuildOptions): Promise<Built> {
  // Imported here, so that everything else works without esbuild, as in a bundled agent.
  const { build, stop } = await import("esbuild");
  clearTimeout(idle);
  building += 1;
  // If a build fails, only this plugin knows which files it has read.
  const read = new Set<string>();
  try {
    const result = await withService(stop, () =>
      build({
        ...options(folder),
        ...more,
        ...{ write: false, metafile: true },
        define: { ...DEFINE, ...more.define },
        plugins: [
          {
            name: "files read",
            setup: ({ onLoad }) =>
              onLoad({ filter: /.*/ }, ({ path: file }) => {
                read.add(file);
                return undefined;
              }),
          },
          ownPackages(["zod", "@loom/workflow"], HERE),
          ...plugins,
        ],
      }),
    );
    const inputs = Object.keys(result.metafile.inputs).map((file) => path.resolve(folder, file));
    const outdir = more.outdir ?? path.dirname(more.outfile ?? "");
    const texts = new Map(
      result.outputFiles.map((file) => [path.relative(outdir, file.path), file.text]),
    );
    return {
      files: withHeaders(texts),
      metafile: result.metafile,
      inputs: inputs.filter((file) => existsSync(file)).sort(),
    };
  } catch (error) {
    const { errors } = error as BuildFailure;
    if (!Array.isArray(errors)) throw error;
    throw await toBundleError(errors, { entry, folder, inputs: [...read].sort() }, error);
  } finally {
    building -= 1;
    if (building === 0) idle = setTimeout(() => end?.(), IDLE_MS).unref();
  }
}

/**
 * Starts a build, and keeps the process that esbuild starts for it, so that no process outlives this one.
 *
 * A build whose requests nobody answers any more is a deadlock to Go, which then writes the stacks of all goroutines to
 * the stderr that it has in common with this process. esbuild's own `stop` closes the process's input before it ends
 * the process, which leaves time for that, so the process is killed first.
 */
function withService<Result>(stop: () => unknown, build: () => Result): Result {
  const onCreated = (message: unknown) => {
    const { process: service } = message as { process: ChildProcess };
    const endService = () => {
      process.removeListener("exit", endService);
      service.kill("SIGKILL");
      stop();
    };
    process.on("exit", endService);
    end = endService;
  };
  // esbuild tells nobody its process, which it starts within the call.
  subscribe("child_process", onCreated);
  try {
    return build();
  } finally {
    unsubscribe("child_process", onCreated);
  }
}

function withHeaders(files: ReadonlyMap<string, string>): Map<string, string> {
  const headers = new Map([...files].map(([name, text]) => [name, headerFor(text)]));
  return new Map(
    [...files].map(([name, text]) => {
      const header = headers.get(name.replace(/\.map$/, ""));
      if (!header) return [name, text];
      // A source map gets an empty line for it.
      return name.endsWith(".map")
        ? [name, text.replace('"mappings": "', '"mappings": ";')]
        : [name, text.replace(/^(#!.*\n)?/, (hashbang) => `${hashbang}${header}\n`)];
    }),
  );
}
