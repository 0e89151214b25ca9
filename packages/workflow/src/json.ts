/**
 * A value that survives the way through the database.
 *
 * A property that is `undefined` is left out on the way, so it reads as `undefined` on the other
 * side too. Interfaces do not fit (they lack an index signature): give a result a `type`.
 */
export type JsonValue =
  | string
  | number
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };
