const MARKS: Readonly<Record<string, string>> = {
  blocked: "⋯",
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

/** A state as mark, word and colour: never as colour alone. */
export function StateBadge({ state }: { state: string }) {
  return (
    <span className={`badge badge-${state}`}>
      <span aria-hidden="true" className="badge-mark">
        {MARKS[state] ?? "·"}
      </span>
      {state}
    </span>
  );
}
