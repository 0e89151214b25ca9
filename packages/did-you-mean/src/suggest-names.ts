import { distance } from "fastest-levenshtein";

/**
 * Suggests known names for an unknown one, best first, at most three.
 *
 * A name is suggested if it begins with the unknown one, or differs from it in case, or by at most one
 * character in four.
 */
export function suggestNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  const tolerated = Math.ceil(name.length / 4);
  return known
    .filter((candidate) => candidate !== name)
    .map((candidate) => {
      const written = candidate.toLowerCase();
      const isAbbreviated = written !== wanted && written.startsWith(wanted);
      return { candidate, mistakes: isAbbreviated ? 0.5 : distance(wanted, written) };
    })
    .filter(({ mistakes }) => mistakes <= tolerated)
    .sort((a, b) => a.mistakes - b.mistakes || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}
