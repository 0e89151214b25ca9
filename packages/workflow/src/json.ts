import type { InputIssue } from "./errors.ts";
import { limits } from "./limits.ts";

/**
 * A value that the database returns as it was stored.
 *
 * A property that is `undefined` is not stored, so it reads as `undefined` again. Interfaces do not fit
 * (they lack an index signature): declare a result with `type`.
 */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

/**
 * Finds the first place where a value would not come back from JSON as it is: `JSON.stringify` leaves it out
 * or replaces it silently (functions, `Map`s, `NaN`, …), cannot write it, or it nests deeper than
 * {@link limits.jsonDepth}. Returns `undefined` if there is none.
 *
 * A property that is `undefined` is allowed. A value with a `toJSON` counts as what that returns.
 *
 * @param options.isExact - Refuse also what JSON writes as something else, such as a `Date` or an object of
 *   a class: for a value whose reader expects it as it was.
 */
export const findNonJson = (
  value: unknown,
  { isExact = false }: { isExact?: boolean } = {},
): InputIssue | undefined => findIn(value, { path: "", key: "", above: [], isExact });

interface Place {
  path: string;
  key: string;
  above: readonly object[];
  isExact: boolean;
}

function findIn(value: unknown, place: Place): InputIssue | undefined {
  const problem = (message: string): InputIssue => ({ path: place.path, message });
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined;
    case "number":
      return Number.isFinite(value) ? undefined : problem(`${value} is not a number of JSON`);
    case "object":
      return value === null ? undefined : findInObject(value, place);
    default:
      return problem(`${value === undefined ? "undefined" : `a ${typeof value}`} is not JSON`);
  }
}

function findInObject(value: object, { path, key, above, isExact }: Place): InputIssue | undefined {
  const problem = (message: string): InputIssue => ({ path, message });
  if (above.includes(value)) return problem("it contains itself");
  if (above.length >= limits.jsonDepth) {
    return problem(`it nests deeper than ${limits.jsonDepth} levels`);
  }
  const inside = [...above, value];
  const prototype: unknown = Object.getPrototypeOf(value);
  const isPlain = prototype === null || prototype === Object.prototype || Array.isArray(value);
  if (isExact && !isPlain)
    return problem(`${named(value.constructor?.name ?? "Object")} is not JSON`);
  if ("toJSON" in value && typeof value.toJSON === "function") {
    const written: unknown = value.toJSON(key);
    if (value instanceof Date && written === null) return problem("an invalid Date is not JSON");
    return written === value ? undefined : findIn(written, { path, key, above: inside, isExact });
  }
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const found = findIn(value[index], {
        path: `${path}[${index}]`,
        key: String(index),
        above: inside,
        isExact,
      });
      if (found) return found;
    }
    return undefined;
  }
  const kind = Object.prototype.toString.call(value).slice("[object ".length, -1);
  if (!WRITTEN_BY_PROPERTIES.has(kind)) {
    return problem(`${named(kind)} is not JSON`);
  }
  for (const [name, member] of Object.entries(value)) {
    if (member === undefined) continue;
    const found = findIn(member, { path: pathTo(path, name), key: name, above: inside, isExact });
    if (found) return found;
  }
  return undefined;
}

// Objects that store their content in properties. A Map, for example, stores it elsewhere.
const WRITTEN_BY_PROPERTIES = new Set(["Object", "Arguments"]);

const named = (kind: string): string => `${/^[AEIO]/.test(kind) ? "an" : "a"} ${kind}`;

const pathTo = (path: string, name: string): string => {
  if (/^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name)) return path === "" ? name : `${path}.${name}`;
  return `${path}[${JSON.stringify(name)}]`;
};
