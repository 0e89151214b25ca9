import path from "node:path";
import { digestOf, MAX_BUNDLE_BYTES } from "../digest.ts";
import { type Built, bundle } from "./build.ts";
import { nativeModules } from "./native.ts";
import { BundleError } from "./problem.ts";

/** A workflow file with everything that it imports, as one file. */
export interface WorkflowBundle {
  /** One ESM file for Node. */
  readonly source: string;
  /** Its source map; paths are relative to the folder of the workflow file. */
  readonly map: string;
  /** SHA-256 of the source: the version of the workflows in it. */
  readonly digest: string;
  /** Native modules that a node must have, sorted. */
  readonly externals: readonly string[];
  /** The files that it was made of, sorted. */
  readonly inputs: readonly string[];
}

/** How many of the largest inputs the error names when a bundle is too large. */
const NAMED_INPUTS = 5;

/**
 * Bundles a workflow file. It runs none of the file's code.
 *
 * @param file - Its path.
 * @throws BundleError with file, line and a code frame; `CODE_TOO_LARGE` names the largest inputs.
 */
export async function bundleWorkflow(file: string): Promise<WorkflowBundle> {
  const entry = path.resolve(file);
  const folder = path.dirname(entry);
  const externals = new Set<string>();
  const built = await bundle({
    entry,
    folder,
    entryPoints: [entry],
    outfile: path.join(folder, "bundle.mjs"),
    sourcemap: "external",
    sourcesContent: false,
    plugins: [nativeModules(externals)],
  });
  const source = built.files.get("bundle.mjs") ?? "";
  checkSize(source, entry, built);
  return {
    source,
    map: built.files.get("bundle.mjs.map") ?? "",
    digest: digestOf(source),
    externals: [...externals].sort(),
    inputs: built.inputs,
  };
}

function checkSize(source: string, entry: string, { metafile, inputs }: Built): void {
  const bytes = Buffer.byteLength(source);
  if (bytes <= MAX_BUNDLE_BYTES) return;
  const largest = Object.values(metafile.outputs)
    .flatMap((output) => Object.entries(output.inputs))
    .sort(([, one], [, other]) => other.bytesInOutput - one.bytesInOutput)
    .slice(0, NAMED_INPUTS)
    .map(([name, { bytesInOutput }]) => `${name} (${inMib(bytesInOutput)})`);
  throw new BundleError(
    "CODE_TOO_LARGE",
    `its bundle holds ${inMib(bytes)} of at most ${inMib(MAX_BUNDLE_BYTES)}; the most comes from ${largest.join(", ")}`,
    {
      ...{ file: entry, inputs },
      fix: "import less of these packages, or let a step read the data from where it is kept",
    },
  );
}

const inMib = (bytes: number): string => `${(bytes / 1_048_576).toFixed(1)} MiB`;
