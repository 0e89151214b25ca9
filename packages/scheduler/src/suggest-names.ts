import { distance } from "fastest-levenshtein";

/** Names that may have been meant, best first: at most three, abbreviated or slightly misspelt. */
export function suggestNames(name: string, known: readonly string[]): string[] {
  const wanted = name.toLowerCase();
  const tolerated = Math.ceil(name.length / 4);
  return known
    .map((candidate) => ({
      candidate,
      mistake: candidate.startsWith(wanted) ? 0 : distance(wanted, candidate),
    }))
    .filter(({ mistake }) => mistake <= tolerated)
    .sort((a, b) => a.mistake - b.mistake || (a.candidate < b.candidate ? -1 : 1))
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}
