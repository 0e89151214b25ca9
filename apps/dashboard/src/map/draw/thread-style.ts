/** Number of thread styles, each a colour and a dash; `styles/tokens.css` defines them. */
export const THREAD_STYLES = 12;

/** Consecutive runs look different: a style is not reused for this many runs. */
const APART = 10;
/** Number of runs whose style is remembered. */
const REMEMBERED = 5_000;

const styles = new Map<string, number>();
const recent: number[] = [];

/**
 * The number of a run's thread style. It is the same on every page while the page is open, and follows
 * from the run's id unless a recent run has the same style.
 */
export function threadStyleOf(runId: string): number {
  const known = styles.get(runId);
  if (known !== undefined) return known;
  let style = hash(runId) % THREAD_STYLES;
  while (recent.includes(style)) style = (style + 1) % THREAD_STYLES;
  recent.push(style);
  if (recent.length > APART) recent.shift();
  styles.set(runId, style);
  const [oldest] = styles.keys();
  if (styles.size > REMEMBERED && oldest !== undefined) styles.delete(oldest);
  return style;
}

/** FNV-1a: ids that differ in only a few letters get different hashes. */
export function hash(text: string): number {
  let value = 2166136261;
  for (let index = 0; index < text.length; index += 1) {
    value = Math.imul(value ^ text.charCodeAt(index), 16777619);
  }
  return value >>> 0;
}
