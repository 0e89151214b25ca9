import type { Node, RunSummary } from "@loom/client";
import { threadStyleOf } from "../map/draw/thread-style.ts";

const SYMBOLS: Readonly<Record<string, string>> = {
  blocked: "⋯",
  suspended: "◔",
  mapping: "⁘",
  waiting: "◌",
  pending: "→",
  running: "▶",
  succeeded: "✓",
  failed: "✕",
  cancelled: "■",
  skipped: "⤼",
  online: "●",
  offline: "○",
  paused: "‖",
  draining: "▽",
  eligible: "✓",
  ineligible: "✕",
  version: "≠",
  excluded: "✕",
  limited: "▤",
  full: "◉",
  ok: "✓",
  warn: "!",
  fail: "✕",
};

/**
 * A state as symbol, word and colour: never as colour alone.
 *
 * @param word - The word, where it is not the state's own.
 */
export function StateBadge({ state, word = state }: { state: string; word?: string }) {
  return (
    <span className={`badge badge-${state}`}>
      <span aria-hidden="true" className="badge-mark">
        {SYMBOLS[state] ?? "·"}
      </span>
      {word}
    </span>
  );
}

/** The state of a run. One of which nothing runs is waiting, whatever its status says. */
export const RunBadge = ({
  run: { status, waitingReason },
}: {
  run: Pick<RunSummary, "status" | "waitingReason">;
}) => <StateBadge state={waitingReason ? "waiting" : status} />;

/** The condition of a node in one word, for a `StateBadge`. */
export const conditionOf = ({ online, status }: Pick<Node, "online" | "status">): string =>
  !online ? "offline" : status === "active" ? "online" : status;

/** The colour and dash of a run's thread, as on the map. */
export function ThreadMark({ runId }: { runId: string }) {
  const style = threadStyleOf(runId);
  return (
    <svg className={`thread-mark thread-${style}`} viewBox="0 0 28 10" aria-hidden="true">
      <path
        d="M2 5 C 8 -1, 14 11, 26 5"
        fill="none"
        stroke="currentColor"
        strokeWidth="2.6"
        strokeLinecap="round"
        strokeDasharray={style % 2 === 0 ? undefined : "5 4"}
      />
    </svg>
  );
}

/** The end of an id, enough to tell runs apart. */
export const shortId = (id: string): string => id.slice(-6);

/** Prefix of the capability for a workflow's code; each step requires its own workflow's. */
export const CODE_OF = "workflow:";

/** The requirements of a step or the capabilities of a node, without those for workflows' code. */
export function Tags({ tags: all, none = "any node" }: { tags: readonly string[]; none?: string }) {
  const tags = all.filter((tag) => !tag.startsWith(CODE_OF));
  if (tags.length === 0) return <span className="muted">{none}</span>;
  return (
    <span className="tags">
      {tags.map((tag) => (
        <code key={tag} className="tag">
          {tag}
        </code>
      ))}
    </span>
  );
}
