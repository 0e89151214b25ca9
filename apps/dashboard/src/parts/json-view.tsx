/** A value, to read and to copy. */
export function JsonView({ value, label }: { value: unknown; label: string }) {
  if (value === undefined || value === null) return <p className="muted">nothing</p>;
  const text = JSON.stringify(value, null, 2);
  return (
    <div className="json">
      <button
        type="button"
        className="quiet"
        aria-label={`Copy ${label}`}
        onClick={() => void navigator.clipboard?.writeText(text)}
      >
        Copy
      </button>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard */}
      <pre tabIndex={0}>{text}</pre>
    </div>
  );
}
