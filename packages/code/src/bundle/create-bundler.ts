import path from "node:path";
import type { CodeStore, StoredCode } from "../code-store.ts";
import { signWorkflow } from "../signed-code.ts";
import type { SigningKey } from "../signing.ts";
import { bundleWorkflow } from "./bundle-workflow.ts";

/** A workflow file as a bundle in a store. */
export interface BundledFile extends StoredCode {
  /** The files that it was made of. */
  readonly inputs: readonly string[];
}

/**
 * Creates a function that bundles a workflow file, signs it and puts it into a store, with a source map that leads
 * to the author's files.
 */
export function createBundler({
  store,
  key,
}: {
  store: CodeStore;
  key: SigningKey;
}): (file: string) => Promise<BundledFile> {
  return async (file) => {
    const { source, map, externals, inputs, digest } = await bundleWorkflow(file);
    const code = signWorkflow({ name: path.basename(file), source, externals }, key);
    const mapped = withPaths(map, path.dirname(file));
    // The same sources may have been bundled in another folder before.
    const isMapped = (await store.readMap(digest)) === mapped;
    const known = isMapped ? await store.find(digest) : undefined;
    const stored = known ?? (await store.write(code, mapped));
    return { ...stored, inputs };
  };
}

/** A source map whose sources are absolute: it is kept elsewhere than the files. */
function withPaths(map: string, folder: string): string {
  const parsed = JSON.parse(map) as { sources: string[] };
  const sources = parsed.sources.map((source) => path.resolve(folder, source));
  return JSON.stringify({ ...parsed, sources });
}
