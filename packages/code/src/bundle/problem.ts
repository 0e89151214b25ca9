import path from "node:path";
import type { Message } from "esbuild";
import { codeFrame } from "../code-frame.ts";

/** Why a file cannot be bundled, and where. */
export class BundleError extends Error {
  override readonly name = "BundleError";
  readonly code: "CODE_BUNDLE_FAILED" | "CODE_TOO_LARGE";
  /** The faulty file: the workflow's, or one that it imports. */
  readonly file: string;
  /** Counts from 1; null where it is not known. */
  readonly line: number | null;
  readonly column: number | null;
  /** The lines around it, with a mark. */
  readonly frame: string | null;
  /** How the author can fix it. */
  readonly fix: string | undefined;
  /** The files that were read before it failed: a change of one may help. */
  readonly inputs: readonly string[];
  constructor(
    code: BundleError["code"],
    message: string,
    at: Partial<Pick<BundleError, "line" | "column" | "frame" | "fix" | "inputs">> &
      Pick<BundleError, "file">,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.file = at.file;
    this.line = at.line ?? null;
    this.column = at.column ?? null;
    this.frame = at.frame ?? null;
    this.fix = at.fix;
    this.inputs = at.inputs ?? [at.file];
  }
}

/** Describes the first error of a build. */
export async function toBundleError(
  errors: readonly Message[],
  { entry, folder, inputs }: { entry: string; folder: string; inputs: readonly string[] },
  cause: unknown,
): Promise<BundleError> {
  const [first] = errors;
  if (!first) return new BundleError("CODE_BUNDLE_FAILED", String(cause), { file: entry, inputs });
  const { text, location } = first;
  const missing = /^Could not resolve "([^"]+)"/.exec(text)?.[1];
  const message =
    missing === undefined ? text : `cannot find ${kindOf(missing)} ${JSON.stringify(missing)}`;
  const fix = missing === undefined ? undefined : fixOf(missing);
  if (!location)
    return new BundleError("CODE_BUNDLE_FAILED", message, { file: entry, fix, inputs });
  const file = path.resolve(folder, location.file);
  // Its column counts from 0, and in bytes.
  const before = Buffer.from(location.lineText).subarray(0, location.column).toString();
  const place = { file, line: location.line, column: before.length + 1 };
  return new BundleError(
    "CODE_BUNDLE_FAILED",
    file === entry ? message : `${entry} cannot be bundled: ${message}`,
    { ...place, frame: await codeFrame(place), fix, inputs },
    { cause },
  );
}

const isPath = (specifier: string) => /^\.{0,2}\//.test(specifier);

const kindOf = (specifier: string) => (isPath(specifier) ? "file" : "package");

const fixOf = (specifier: string) =>
  isPath(specifier)
    ? "check the path of the import, with its extension"
    : `install it beside the file: npm install ${specifier}`;
