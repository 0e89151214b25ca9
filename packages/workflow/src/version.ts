import { createHash } from "node:crypto";

/**
 * Digests a part of a definition, functions by their source text.
 *
 * Each step digests the version before it and itself, so a chain of steps is read once.
 */
export function digest(part: unknown): string {
  const text = JSON.stringify(part, (_key, value: unknown) =>
    typeof value === "function" ? value.toString() : value,
  );
  return createHash("sha256").update(text).digest("hex").slice(0, 12);
}
