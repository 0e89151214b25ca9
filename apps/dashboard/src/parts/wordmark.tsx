/** The logo. */
export function Wordmark() {
  return (
    <span className="wordmark">
      <svg viewBox="0 0 32 32" aria-hidden="true">
        <path className="warp" d="M8 4v24M16 4v24M24 4v24" />
        <path className="weft-1" d="M2 11h6c4 0 4-4 8-4s5 5 8 5 4-1 6-1" />
        <path className="weft-2" d="M2 21h4c4 0 5 4 10 4s4-6 8-6 4 2 6 2" />
      </svg>
      Loom
    </span>
  );
}
