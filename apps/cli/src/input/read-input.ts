import { readFileSync } from "node:fs";
import { text } from "node:stream/consumers";
import { CliError, usage } from "../errors.ts";

/** Takes an option that may be given several times. */
export const collect = (value: string, before: string[] | undefined): string[] => [
  ...(before ?? []),
  value,
];

interface Given {
  /** Fields as `key=value`, or the whole input as JSON. */
  input?: readonly string[] | undefined;
  /** A file with the input as JSON; `-` is standard input. */
  inputFile?: string | undefined;
}

/**
 * Reads the input of a run; undefined where none is given.
 *
 * A value of a field is read as the workflow's schema says, so `tag=1.0` stays a text where a text is
 * wanted. Later fields win over earlier ones, and all of them over the file.
 *
 * @param schemaOf - Returns the JSON Schema of the input; only asked when a field is given.
 * @throws CliError `USAGE`, `FILE_UNREADABLE`.
 */
export async function readInput(
  { input = [], inputFile }: Given,
  schemaOf: () => Promise<Record<string, unknown>>,
): Promise<unknown> {
  const whole = inputFile === undefined ? undefined : parse(await read(inputFile), inputFile);
  let all = whole;
  let properties: Record<string, unknown> | undefined;
  for (const given of input) {
    if (/^\s*[[{"]/.test(given)) {
      const value = parse(given, "--input");
      all = isObject(all) && isObject(value) ? { ...all, ...value } : value;
      continue;
    }
    const [, key, value = ""] = /^([^=\s]+)=([\s\S]*)$/.exec(given) ?? [];
    if (key === undefined) {
      throw usage(
        `--input ${JSON.stringify(given)} is neither key=value nor JSON`,
        '--input greeting=hello, or --input \'{"greeting":"hello"}\'',
      );
    }
    if (all !== undefined && !isObject(all)) {
      throw usage(
        `the field ${key} has no place in the input`,
        "give the whole input as JSON, or fields alone",
        "the rest of the input is no object",
      );
    }
    properties ??= ((await schemaOf()).properties ?? {}) as Record<string, unknown>;
    all = { ...(all as object | undefined), [key]: toValue(value, properties[key]) };
  }
  return all;
}

async function read(file: string): Promise<string> {
  if (file === "-") return text(process.stdin);
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new CliError("FILE_UNREADABLE", {
      what: `the input file ${file} cannot be read`,
      why: (error as Error).message,
      fix: "name a file with JSON, or - for standard input",
      cause: error,
    });
  }
}

function parse(json: string, from: string): unknown {
  try {
    // An editor of Windows may have put a mark in front.
    return JSON.parse(json.replace(/^\ufeff/, ""));
  } catch (error) {
    throw usage(
      `${from === "-" ? "standard input" : from} is not JSON`,
      'write it like {"key": "value"}',
      (error as Error).message,
    );
  }
}

/** The value of a field as its schema wants it. What does not fit is sent as text: the hub says why. */
function toValue(text: string, schema: unknown): unknown {
  const types = new Set([(schema as { type?: unknown } | undefined)?.type].flat());
  if (types.has("string")) return text;
  if (types.has("number") || types.has("integer")) {
    return text.trim() !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  }
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
