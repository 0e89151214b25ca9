import { useState } from "react";

/** A line to paste somewhere, with a button that copies it. */
export function CopyLine({ text, label }: { text: string; label: string }) {
  const [state, setState] = useState<"" | "copied" | "failed">("");
  const copy = async () => {
    // Browsers offer the clipboard only on pages that came over HTTPS or from this machine.
    await navigator.clipboard?.writeText(text).then(
      () => setState("copied"),
      () => setState("failed"),
    );
    if (!navigator.clipboard) setState("failed");
  };
  return (
    <div className="copy-line">
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <pre tabIndex={0}>{text}</pre>
      <button type="button" aria-label={`Copy ${label}`} onClick={() => void copy()}>
        {state === "copied" ? "Copied" : "Copy"}
      </button>
      <span role="status" className={state === "failed" ? "muted" : "visually-hidden"}>
        {state === "copied" && "Copied"}
        {state === "failed" && "This browser copies nothing here: select the line."}
      </span>
    </div>
  );
}
