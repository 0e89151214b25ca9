import { strandOf } from "../mesh/strand.ts";

/** The colour and dash of a run, as on the map. */
export function StrandMark({ runId }: { runId: string }) {
  const strand = strandOf(runId);
  return (
    <svg className={`strand-mark strand-${strand}`} viewBox="0 0 28 10" aria-hidden="true">
      <path
        d="M2 5 C 8 -1, 14 11, 26 5"
        fill="none"
        stroke="currentColor"
        strokeWidth="2.6"
        strokeLinecap="round"
        strokeDasharray={strand % 2 === 0 ? undefined : "5 4"}
      />
    </svg>
  );
}

/** Enough of an id to tell runs apart. */
export const shortId = (id: string): string => id.slice(-6);
