// Which paths and links an archive may have. Packing and unpacking ask the same functions.
import path from "node:path";
import { problemOfPath } from "@loom/workflow";

/** The folder that an archive is made of, as a path below itself. */
export const WHOLE = ".";

/** As `problemOfPath` of `@loom/workflow`. On Windows, what is special there is refused as well. */
export const problemOf = (text: string): string | undefined =>
  path.sep === "\\" && /[\\:]/.test(text) ? "has a backslash or a colon" : problemOfPath(text);

/** Whether a path is one of these, or lies below one of them. */
export const isBelow = (text: string, bases: readonly string[]): boolean =>
  baseOf(text, bases) !== undefined;

/** The one of these paths that a path is, or lies below. */
export const baseOf = (text: string, bases: readonly string[]): string | undefined =>
  bases.find((base) => base === WHOLE || text === base || text.startsWith(`${base}/`));

/**
 * Whether a link could lead out of a folder.
 *
 * A target goes up first, by no more folders than the link lies below the base, and then only down. A `..` after a name is refused: the
 * name may be another link, and the way up from where that leads is longer. So a way that follows any number of such links
 * stays below the base, if nothing lies below a link itself.
 *
 * @param link - The path of the link, and `base` that of the folder; both below one folder.
 */
export function leavesFolder(link: string, target: string, base: string): boolean {
  if (target === "" || target.includes("\0")) return true;
  if (path.posix.isAbsolute(target) || path.isAbsolute(target)) return true;
  if (path.sep === "\\" && /[\\:]/.test(target)) return true;
  const depth = link.split("/").length - (base === WHOLE ? 0 : base.split("/").length) - 1;
  const names = target.split("/").filter((name) => name !== "" && name !== ".");
  const firstDown = names.findIndex((name) => name !== "..");
  const up = firstDown < 0 ? names.length : firstDown;
  return depth < 0 || up > depth || names.slice(up).includes("..");
}
