import { toPrintable } from "./printable.ts";

/** A JSON value, with a button that copies it. */
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
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <pre tabIndex={0}>{toPrintable(text)}</pre>
    </div>
  );
}
