import path from "node:path";
import { fileURLToPath } from "node:url";
import { codeFrame, type Place, readLines } from "@loom/code";
import type { BundleError } from "@loom/code/bundle";
import type { ImportError } from "./messages.ts";

/** A reason why a workflow file, or a part of it, cannot be used. */
export interface WorkflowProblem {
  /** The file's path, or the module's specifier if it is not a file. */
  readonly file: string;
  /** Counts from 1; null when it is unknown, for example for a file whose import never ends. */
  readonly line: number | null;
  readonly column: number | null;
  /** The lines around it, with a mark; null when the line is unknown. */
  readonly frame: string | null;
  readonly message: string;
  /** How the author can fix it. */
  readonly fix?: string;
}

const MAX_MESSAGE = 2_000;

/** Formats a problem as `file:line:column: message`, as compilers do. */
export function titleOf({ file, line, column, message }: WorkflowProblem): string {
  const place = [line, column].filter((each) => each !== null).map((each) => `:${each}`);
  return `${file}${place.join("")}: ${message}`;
}

/** Describes a file that cannot be used, without a line. */
export const fileProblem = (file: string, message: string, fix?: string): WorkflowProblem => ({
  ...{ file, line: null, column: null, frame: null, message },
  ...(fix !== undefined && { fix }),
});

/**
 * Describes why a file cannot be imported: the place in it or in a file that it imports, and a fix.
 */
export async function importProblem(file: string, error: ImportError): Promise<WorkflowProblem> {
  const missing = /^Cannot find (package|module) '([^']+)' imported from (.+)$/m.exec(
    error.message,
  );
  const place = missing
    ? await findText(file, [missing[2] ?? "", path.basename(missing[2] ?? "")])
    : placeOf(error.stack, file);
  const message = error.message.slice(0, MAX_MESSAGE);
  const fix = fixOf(error, missing?.[1] === "package" ? missing[2] : undefined);
  return {
    ...(await inPlace(file, place)),
    message: place && place.file !== file ? `${file} cannot be imported: ${message}` : message,
    ...(fix && { fix }),
  };
}

/** Describes why a file cannot be bundled. */
export const bundleProblem = ({
  file,
  line,
  column,
  frame,
  message,
  fix,
}: BundleError): WorkflowProblem => ({
  ...{ file, line, column, frame, message: message.slice(0, MAX_MESSAGE) },
  ...(fix !== undefined && { fix }),
});

/** Describes a workflow whose name an earlier file already uses. */
export async function duplicateProblem(
  file: string,
  workflow: string,
  other: string,
): Promise<WorkflowProblem> {
  return {
    ...(await inPlace(file, await findText(file, [workflow]))),
    message: `workflow ${workflow} is already defined in ${other}`,
    fix: "give one of the two another name, or remove one of the files",
  };
}

function fixOf({ message, code }: ImportError, missingPackage: string | undefined) {
  if (missingPackage !== undefined)
    return `install it beside the file: npm install ${missingPackage}`;
  if (message.includes("process.chdir") || code === "ERR_MODULE_NOT_FOUND") {
    return "check the path of the import, including its extension";
  }
  return undefined;
}

async function inPlace(file: string, place: Place | undefined) {
  if (!place) return { file, line: null, column: null, frame: null };
  const { line, column } = place;
  return { file: place.file, line, column, frame: await codeFrame(place) };
}

const CALL = /\bat (?:[^\n]*\()?((?:file:|\/|[A-Za-z]:\\)[^\n]+?):(\d+):(\d+)\)?$/gm;

/** Finds the place of an error in its stack: the first call in the file itself, else in a file beside it. */
function placeOf(stack: string, file: string): Place | undefined {
  const calls = [...stack.matchAll(CALL)].map(([, at = "", line, column]) => ({
    file: at.startsWith("file:") ? fileURLToPath(at) : at,
    ...{ line: Number(line), column: Number(column) },
  }));
  const folder = `${path.dirname(file)}${path.sep}`;
  return (
    calls.find((call) => call.file === file) ??
    calls.find((call) => call.file.startsWith(folder) && !call.file.includes("node_modules"))
  );
}

/** Finds the first place where a file has one of these texts in quotes. */
async function findText(file: string, texts: readonly string[]): Promise<Place | undefined> {
  const lines = await readLines(file);
  for (const text of texts) {
    for (const quote of ['"', "'", "`"]) {
      const line = lines.findIndex((each) => each.includes(text + quote));
      if (line >= 0) {
        return { file, line: line + 1, column: (lines[line] ?? "").indexOf(text + quote) + 1 };
      }
    }
  }
  return undefined;
}
