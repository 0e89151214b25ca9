import path from "node:path";
import { digestOf } from "../digest.ts";
import { bundle } from "./build.ts";

/** A program as files that need nothing beside them. */
export interface ProgramBundle {
  /** The content of each file by its name, `<entry>.mjs`. */
  readonly files: ReadonlyMap<string, string>;
  /** SHA-256 over names and contents. */
  readonly digest: string;
}

/** Packages that a program imports only if they are installed: a library for traces, and the bundler. */
const OPTIONAL = ["@opentelemetry/*", "esbuild"];

/**
 * Bundles a program, each entry into one file. Keep the files in one folder, because an entry looks for the others
 * beside itself.
 *
 * @param options.entries - The path of each entry's file by name, as `{ main: "/…/main.ts" }`.
 * @param options.define - Expressions to replace, as `{ "process.env.VERSION": '"1.2.3"' }`.
 * @throws BundleError with file, line and a code frame.
 */
export async function bundleProgram({
  entries,
  define = {},
}: {
  entries: Readonly<Record<string, string>>;
  define?: Readonly<Record<string, string>>;
}): Promise<ProgramBundle> {
  const [entry = ""] = Object.values(entries);
  const folder = path.dirname(path.resolve(entry));
  const { files } = await bundle({
    entry,
    folder,
    entryPoints: { ...entries },
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    external: OPTIONAL,
    define: { ...define },
  });
  const sorted = [...files].sort(([one], [other]) => (one < other ? -1 : 1));
  return {
    files: new Map(sorted),
    digest: digestOf(JSON.stringify(sorted.map(([name, text]) => [name, digestOf(text)]))),
  };
}
