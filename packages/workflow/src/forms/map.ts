import type { z } from "zod";
import type { Duration } from "../duration.ts";
import type { JsonValue } from "../json.ts";
import { limits } from "../limits.ts";
import type { StepContext, StepOptions } from "../step.ts";
import type { MapPolicy, Tolerance } from "./map-policy.ts";

/** Options that follow from the items and the list of a step that maps: it does not have them. */
const UNUSABLE = ["runsAfter", "optional", "skip", "when"] as const;
type Unusable = (typeof UNUSABLE)[number];

/** The options of a step that maps over a list. All but the first four are each item's. */
export interface MapOptions<
  Over extends string = string,
  After extends string = string,
  Input = JsonValue,
  Key extends string = string,
  Kept extends z.ZodType = z.ZodType,
> extends Omit<StepOptions<After, Input>, "concurrency" | "checkpoint" | Unusable> {
  /**
   * The list: the result of an earlier step (`"list"`), or a property of it (`"list.files"`). The step comes after that
   * one, whether or not `after` names it. At most 10 000 items.
   */
  readonly over: Over;
  /** How many items run at once, on all nodes together: 1 to 10 000. Default: no limit. */
  readonly concurrency?: number;
  /**
   * How many items may fail, as a number or as a share (`"5%"`). With this, each entry of the results says whether its
   * item succeeded. Default: none may.
   */
  readonly tolerate?: Tolerance;
  /**
   * The property of each item that names it, a text or a number that no other item has. Steps get it as `key`, and lists
   * show it. Default: the index.
   */
  readonly key?: Key;
  /** As for a step, for each item. */
  readonly checkpoint?: Kept;
  /** The timeout of one attempt of an item. Default `"10m"`, at most `"24d"`. */
  readonly timeout?: Duration;
}

/** The argument of the run function of a step that maps over a list. */
export interface ItemContext<
  Input = JsonValue,
  Results = Readonly<Record<string, JsonValue>>,
  Item = JsonValue,
  Kept = JsonValue,
> extends StepContext<Input, Results, Kept> {
  readonly item: Item;
  /** The item's place in the list, from 0. */
  readonly index: number;
  /** What names the item in its list: the property that the option `key` names, else the index. It is the same in every attempt. */
  readonly key: string;
}

/**
 * Checks the options of a map and fills in the defaults.
 *
 * @param earlier - The steps defined before.
 * @throws RangeError that says what is wrong; the caller adds the place.
 */
export function toMapPolicy(
  options: MapOptions,
  earlier: readonly { readonly name: string; readonly map: MapPolicy | null }[],
): MapPolicy {
  const { over, key, concurrency, tolerate } = options;
  const unusable = UNUSABLE.find((option) => option in options);
  if (unusable !== undefined) {
    throw new RangeError(`a step that maps over a list cannot have ${unusable}: remove it`);
  }
  if (typeof over !== "string") throw new RangeError("over is missing: name the step that lists");
  const [name = "", path, ...rest] = over.split(".");
  const step = earlier.find((each) => each.name === name);
  if (step === undefined) {
    const known = earlier.map((each) => each.name).join(", ") || "there is none";
    throw new RangeError(`over names "${name}", which is not an earlier step (${known})`);
  }
  if (rest.length > 0 || path === "") {
    throw new RangeError(
      `over is "${over}": name a step, or a step and one property of its result`,
    );
  }
  if (path !== undefined && step.map !== null) {
    throw new RangeError(
      `over is "${over}", and ${name} maps over a list itself: each of its items has a ${path} of its own, and maps cannot be nested. Put a step between that makes one list of them`,
    );
  }
  if (key !== undefined && (typeof key !== "string" || key === "")) {
    throw new RangeError("key is not the name of a property of the items");
  }
  const max = limits.concurrencyLimit;
  if (
    concurrency !== undefined &&
    !(Number.isInteger(concurrency) && concurrency >= 1 && concurrency <= max)
  ) {
    throw new RangeError(`concurrency of a map is a whole number from 1 to ${max}`);
  }
  if (tolerate !== undefined && !isTolerance(tolerate)) {
    throw new RangeError(
      `tolerate is a whole number from 0 to ${limits.mapItems}, or a share from "0%" to "100%"`,
    );
  }
  return {
    step: name,
    path: path ?? null,
    key: key ?? null,
    concurrency: concurrency ?? null,
    tolerate: tolerate ?? null,
  };
}

function isTolerance(tolerate: Tolerance): boolean {
  if (typeof tolerate === "string") {
    return /^(\d{1,2}(\.\d{1,6})?|100)%$/.test(tolerate);
  }
  return Number.isInteger(tolerate) && tolerate >= 0 && tolerate <= limits.mapItems;
}
