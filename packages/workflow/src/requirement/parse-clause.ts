import { lengthOf, limits } from "../limits.ts";
import {
  BARE_VALUE,
  type Clause,
  InvalidClauseError,
  type Operator,
  printClause,
  type Term,
  type Test,
} from "./clause.ts";
import { isOrdered } from "./compare-values.ts";

const KEY = /[^\s\p{C}!=<>|(),"]+/uy;
const OPERATOR = /!=|<=|>=|=|<|>/y;
const QUOTED = /"(?:[^"\\]|\\.)*"/y;
const IN = /\s+in\s*\(/y;

/** The text, and the position of the next character. */
interface Reader {
  readonly text: string;
  at: number;
}

/**
 * Reads a clause.
 *
 * ```text
 * clause = term { "|" term }
 * term   = [ "!" ] test
 * test   = key | key operator value | key "in" "(" value { "," value } ")"
 * ```
 *
 * Operators are `=`, `!=`, `<`, `<=`, `>`, `>=`. Those with an order take a number or a version. A value with
 * spaces or one of `|(),"` is written in double quotes, as JSON. Spaces between the parts are free.
 *
 * @param text - 1 to 200 characters, and no more in its printed form, which is what is stored.
 * @throws InvalidClauseError with the position, and where possible what was meant.
 */
export function parseClause(text: string): Clause {
  // Checked before any pattern runs, so that a text of megabytes costs nothing.
  if (text.length > 2 * limits.clauseLength || lengthOf(text) > limits.clauseLength) {
    throw new InvalidClauseError(text, {
      position: limits.clauseLength,
      problem: `it is longer than ${limits.clauseLength} characters`,
    });
  }
  try {
    const clause = read(text);
    const length = lengthOf(printClause(clause));
    if (length <= limits.clauseLength) return clause;
    throw new InvalidClauseError(text, {
      position: 0,
      problem: `in its printed form, which is stored, it has ${length} characters of at most ${limits.clauseLength}, counted`,
    });
  } catch (error) {
    if (!(error instanceof InvalidClauseError) || error.suggestion !== undefined) throw error;
    const suggestion = suggestionFor(text);
    throw suggestion === undefined ? error : new InvalidClauseError(text, { ...error, suggestion });
  }
}

function read(text: string): Clause {
  const reader: Reader = { text, at: 0 };
  const first = readTerm(reader);
  const terms = [first];
  while (take(reader, "|")) terms.push(readTerm(reader));
  if (reader.at < text.length) fail(reader, "expected an operator or the end");
  return terms.length === 1 ? first : { kind: "any", terms };
}

function readTerm(reader: Reader): Term {
  if (!take(reader, "!")) return readTest(reader, false);
  skipSpace(reader);
  if (reader.text[reader.at] === "!") fail(reader, "a second !");
  return readTest(reader, true);
}

function readTest(reader: Reader, isNegated: boolean): Term {
  skipSpace(reader);
  const key = match(reader, KEY);
  if (key === undefined) fail(reader, 'expected a name, as in "has-gpu"');
  const negate = (test: Test, negated = isNegated): Term =>
    negated ? { kind: "not", test } : test;

  if (match(reader, IN) !== undefined) return negate({ kind: "in", key, values: readList(reader) });
  const afterKey = reader.at;
  skipSpace(reader);
  const operator = match(reader, OPERATOR);
  if (operator === undefined) {
    reader.at = afterKey;
    skipSpace(reader);
    return negate({ kind: "has", key });
  }
  if (operator === "!=" && isNegated) fail(reader, "a second !");
  skipSpace(reader);
  const position = reader.at;
  const value = readValue(reader);
  skipSpace(reader);
  if (operator === "!=") return negate({ kind: "compare", key, operator: "=", value }, true);
  if (operator !== "=" && !isOrdered(value)) {
    const [number] = /^-?\d+(\.\d+)?/.exec(value) ?? [];
    throw new InvalidClauseError(reader.text, {
      position,
      problem: `${operator} takes a number or a version; put the unit into the name (memory-gb>=16)`,
      ...(number === undefined ? {} : { suggestion: `${key}${operator}${number}` }),
    });
  }
  return negate({ kind: "compare", key, operator: operator as Operator, value });
}

function readList(reader: Reader): string[] {
  const values: string[] = [];
  do {
    skipSpace(reader);
    values.push(readValue(reader));
  } while (take(reader, ","));
  if (!take(reader, ")")) fail(reader, 'expected "," or ")"');
  skipSpace(reader);
  return values;
}

function readValue(reader: Reader): string {
  const start = reader.at;
  const quoted = match(reader, QUOTED);
  if (quoted !== undefined) {
    try {
      return JSON.parse(quoted) as string;
    } catch {
      reader.at = start;
      fail(reader, "a quoted value is written like a JSON string; this one cannot be read");
    }
  }
  const value = match(reader, BARE_VALUE);
  if (value === undefined) fail(reader, "expected a value");
  return value;
}

/**
 * Parses the text as other languages would write it; `undefined` if that is not a clause either.
 */
function suggestionFor(text: string): string | undefined {
  const operators = text
    .trim()
    .replaceAll(/={2,}/g, "=")
    .replaceAll("=>", ">=")
    .replaceAll("=<", "<=")
    .replaceAll(/\|{2,}|(?<!\s)\s+or\s+/gi, "|")
    .replace(/^not\s+/i, "!");
  const words = operators.replaceAll(/(?<=[^\s!=<>|(),"&])\s+(?=[^\s!=<>|(),"&])/g, "-");
  for (const meant of [operators, words]) {
    try {
      return printClause(read(meant));
    } catch {}
  }
  return undefined;
}

function match(reader: Reader, pattern: RegExp): string | undefined {
  pattern.lastIndex = reader.at;
  const [found] = pattern.exec(reader.text) ?? [];
  if (found !== undefined) reader.at += found.length;
  return found;
}

function take(reader: Reader, character: string): boolean {
  skipSpace(reader);
  if (reader.text[reader.at] !== character) return false;
  reader.at += 1;
  return true;
}

const skipSpace = (reader: Reader): void => void match(reader, /\s*/y);

function fail({ text, at }: Reader, problem: string): never {
  throw new InvalidClauseError(text, { position: at, problem });
}
