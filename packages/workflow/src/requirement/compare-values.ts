// At most 15 digits: a double holds them exactly.
const NUMBER = /^-?\d{1,15}(?:\.\d{1,15})?$/;
const VERSION = /^v?(\d{1,15}(?:\.\d{1,15})*)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$/;

/** Whether a value can be larger or smaller than another: it is a number or a version. */
export const isOrdered = (value: string): boolean => NUMBER.test(value) || VERSION.test(value);

/**
 * Compares two values of a key: below 0, 0 or above 0, and `undefined` where they have no order.
 *
 * They are versions when the key ends in `version`, or one of them can be nothing else: it starts with
 * `v`, has a second dot, or a suffix (`24.1-rc.1`). Otherwise they are numbers, for which 24.10 is
 * below 24.9: only the key can tell the two apart.
 */
export function compareValues(key: string, a: string, b: string): number | undefined {
  if (key.endsWith("version") || isVersionOnly(a) || isVersionOnly(b)) return compareVersions(a, b);
  return NUMBER.test(a) && NUMBER.test(b) ? Number(a) - Number(b) : undefined;
}

const isVersionOnly = (value: string): boolean => VERSION.test(value) && !NUMBER.test(value);

/** By semver's order: parts as numbers, missing ones as 0, and `1.0-rc` before `1.0`. */
function compareVersions(a: string, b: string): number | undefined {
  const [, release1, early1] = VERSION.exec(a) ?? [];
  const [, release2, early2] = VERSION.exec(b) ?? [];
  if (release1 === undefined || release2 === undefined) return undefined;
  const parts1 = release1.split(".");
  const parts2 = release2.split(".");
  for (let index = 0; index < Math.max(parts1.length, parts2.length); index++) {
    const difference = Number(parts1[index] ?? 0) - Number(parts2[index] ?? 0);
    if (difference !== 0) return difference;
  }
  if (early1 === undefined || early2 === undefined) {
    return (early1 === undefined ? 1 : 0) - (early2 === undefined ? 1 : 0);
  }
  return compareSuffixes(early1.split("."), early2.split("."));
}

function compareSuffixes(a: readonly string[], b: readonly string[]): number {
  for (const [index, part1] of a.entries()) {
    const part2 = b[index];
    if (part2 === undefined) return 1;
    if (part1 === part2) continue;
    const isNumber1 = /^\d+$/.test(part1);
    const isNumber2 = /^\d+$/.test(part2);
    if (isNumber1 && isNumber2 && Number(part1) !== Number(part2)) {
      return Number(part1) - Number(part2);
    }
    if (isNumber1 !== isNumber2) return isNumber1 ? -1 : 1;
    return part1 < part2 ? -1 : 1;
  }
  return a.length - b.length;
}
