/** Colours and dashes of strands, by number; `styles/tokens.css` has them. */
export const STRAND_STYLES = 12;

/** Runs that came one after another look different: no number is used again for this many. */
const APART = 10;
/** Runs whose number is remembered. */
const REMEMBERED = 5_000;

const strands = new Map<string, number>();
const recent: number[] = [];

/**
 * The colour and dash of a run: the same one on every page, as long as the page is open. It follows from
 * the run's id where no other run of late has the same.
 */
export function strandOf(runId: string): number {
  const known = strands.get(runId);
  if (known !== undefined) return known;
  let strand = hash(runId) % STRAND_STYLES;
  while (recent.includes(strand)) strand = (strand + 1) % STRAND_STYLES;
  recent.push(strand);
  if (recent.length > APART) recent.shift();
  strands.set(runId, strand);
  const [oldest] = strands.keys();
  if (strands.size > REMEMBERED && oldest !== undefined) strands.delete(oldest);
  return strand;
}

/** FNV-1a: spreads ids that differ in a few letters only. */
export function hash(text: string): number {
  let value = 2166136261;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 16777619);
  }
  return value >>> 0;
}
