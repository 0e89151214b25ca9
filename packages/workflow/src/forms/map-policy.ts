import type { JsonValue } from "../json.ts";

/** How many items may fail: a number, or a share of all as in `"5%"`. */
export type Tolerance = number | `${number}%`;

/** How a step maps over a list, with all defaults filled in. */
export interface MapPolicy {
  /** The step whose result has the list. */
  readonly step: string;
  /** The property of that result which is the list; `null`: the result itself. */
  readonly path: string | null;
  /** The property of each item that names it; `null`: its index does. */
  readonly key: string | null;
  /** How many items run at once, on all nodes together; `null`: no limit. */
  readonly concurrency: number | null;
  /** How many items may fail; `null`: none, and the results come without their outcomes. */
  readonly tolerate: Tolerance | null;
}

/** An entry of the results of a step whose items may fail (`tolerate`). */
export type ItemResult<Result> =
  | { readonly ok: true; readonly value: Result }
  | {
      readonly ok: false;
      readonly error: { readonly code: string | null; readonly message: string | null };
    };

/** Returns what names an item in its list: the property that the workflow says, else its index. */
export function keyOfItem({ key }: Pick<MapPolicy, "key">, item: JsonValue, index: number): string {
  return String(key === null ? index : (item as Readonly<Record<string, JsonValue>>)[key]);
}

/** How many of so many items may fail. */
export function toleratedOf({ tolerate }: Pick<MapPolicy, "tolerate">, total: number): number {
  if (typeof tolerate !== "string") return tolerate ?? 0;
  return Math.floor((total * Number(tolerate.slice(0, -1))) / 100);
}
