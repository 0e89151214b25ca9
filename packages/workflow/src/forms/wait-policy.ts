import { z } from "zod";
import { findNonJson, type JsonValue } from "../json.ts";
import { lengthOf, limits } from "../limits.ts";

/** The results of earlier steps, by name; undefined of one that has none. */
export type AnyResults = Readonly<Record<string, JsonValue | undefined>>;

/** A schema whose output is JSON. */
export type Schema = z.ZodType;

/** Computes a value from the input and the results so far. It may be called more than once. */
export type Computed<Value, Input = JsonValue, Results = AnyResults> = (context: {
  readonly input: Input;
  readonly results: Results;
}) => Value;

/** What a step waits for that no node runs, with its author's functions. */
export type WaitPolicy =
  | { readonly kind: "sleep"; readonly forMs: number }
  | { readonly kind: "sleep"; readonly until: string | Computed<string | Date> }
  | {
      readonly kind: "signal";
      readonly event: string;
      readonly key: string | Computed<string> | null;
      readonly schema: Schema | null;
      readonly timeoutMs: number | null;
    }
  | {
      readonly kind: "approval";
      readonly title: string;
      readonly show: Computed<JsonValue> | null;
      readonly who: readonly string[];
      readonly input: Schema | null;
      readonly timeoutMs: number | null;
      readonly onTimeout: "fail" | "approve";
    };

/** The same as JSON, as it is stored with a run. What a function computes is left out. */
export type PlannedWait =
  | { readonly kind: "sleep"; readonly forMs: number | null; readonly until: string | null }
  | {
      readonly kind: "signal";
      readonly event: string;
      readonly key: string | null;
      readonly timeoutMs: number | null;
      /** Whether a schema checks the signal. */
      readonly parses: boolean;
    }
  | {
      readonly kind: "approval";
      readonly title: string;
      readonly who: readonly string[];
      readonly timeoutMs: number | null;
      readonly onTimeout: "fail" | "approve";
      /** The JSON Schema of the input; null: none. */
      readonly inputSchema: Readonly<Record<string, unknown>> | null;
      /** The input when the time runs out. */
      readonly defaultInput: JsonValue;
    };

/** Describes a wait as JSON. It calls code of its author: the input's schema. */
export function planWait(wait: WaitPolicy): PlannedWait {
  switch (wait.kind) {
    case "sleep":
      return {
        kind: wait.kind,
        forMs: "forMs" in wait ? wait.forMs : null,
        until: "until" in wait && typeof wait.until === "string" ? wait.until : null,
      };
    case "signal": {
      const { kind, event, key, timeoutMs, schema } = wait;
      return {
        ...{ kind, event, timeoutMs, parses: schema !== null },
        key: typeof key === "string" ? key : null,
      };
    }
    case "approval": {
      const { kind, title, who, timeoutMs, onTimeout, input } = wait;
      return {
        ...{ kind, title, who, timeoutMs, onTimeout },
        inputSchema:
          input === null
            ? null
            : { ...z.toJSONSchema(input, { io: "input", unrepresentable: "any" }) },
        defaultInput: onTimeout === "approve" ? defaultInput(wait) : null,
      };
    }
  }
}

/** Whether a function of its author has to be called before it begins to wait. */
export function isComputedWait(wait: WaitPolicy): boolean {
  switch (wait.kind) {
    case "sleep":
      return "until" in wait && typeof wait.until === "function";
    case "signal":
      return typeof wait.key === "function";
    case "approval":
      return wait.show !== null;
  }
}

/** Returns an instant as ISO 8601 in UTC. @throws RangeError */
export function toInstant(option: string, value: unknown): string {
  const isText = typeof value === "string" && INSTANT.test(value);
  const at = isText || value instanceof Date ? new Date(value as string) : undefined;
  const year = at?.getUTCFullYear() ?? Number.NaN;
  if (at === undefined || !(year >= 1970 && year <= 9999)) {
    throw new RangeError(
      `${option} is not a time: return a Date, or a text such as "2027-01-31T18:00:00Z"`,
    );
  }
  return at.toISOString();
}

/** Refuses what cannot be the key of a signal. @throws RangeError */
export function checkKey(key: unknown): string {
  if (typeof key !== "string" || !/^[^\p{Cc}\p{Cs}]+$/u.test(key)) {
    throw new RangeError("key is not a text of 1 or more characters, without control characters");
  }
  if (lengthOf(key) > limits.keyLength) {
    throw new RangeError(`key has ${lengthOf(key)} characters, of at most ${limits.keyLength}`);
  }
  return key;
}

/** What the schema makes of no input. @throws RangeError */
export function defaultInput({ input }: Extract<WaitPolicy, { kind: "approval" }>): JsonValue {
  if (input === null) return null;
  const parsed = input.safeParse({});
  if (!parsed.success || findNonJson(parsed.data, { isExact: true }) !== undefined) {
    throw new RangeError(
      'onTimeout is "approve", and the schema of its input does not accept {}: give every property a default',
    );
  }
  return parsed.data as JsonValue;
}

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)$/;
