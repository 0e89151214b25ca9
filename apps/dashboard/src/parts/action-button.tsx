import { type ReactNode, useRef, useState } from "react";
import { describe } from "./notice.tsx";

/**
 * A button that sends a request to the hub. It is disabled until the response, and shows the error if
 * there is one.
 *
 * @param label - What a screen reader says, where the text alone does not tell buttons of a list apart.
 * @param confirm - A question to answer first, for an action that cannot be undone.
 */
export function ActionButton({
  action,
  label,
  confirm,
  kind = "plain",
  disabled = false,
  children,
}: {
  action: () => Promise<unknown>;
  label?: string;
  confirm?: string;
  kind?: "plain" | "main" | "danger";
  disabled?: boolean;
  children: ReactNode;
}) {
  const [isBusy, setBusy] = useState(false);
  const [problem, setProblem] = useState<string>();
  const dialog = useRef<HTMLDialogElement>(null);

  const go = async () => {
    setBusy(true);
    setProblem(undefined);
    try {
      await action();
    } catch (error) {
      setProblem(describe(error).detail);
    } finally {
      setBusy(false);
    }
  };

  return (
    <>
      <button
        type="button"
        className={kind}
        aria-label={label}
        disabled={disabled || isBusy}
        onClick={() => (confirm ? dialog.current?.showModal() : void go())}
      >
        {children}
      </button>
      {problem && (
        <span className="action-problem" role="alert">
          {problem}
        </span>
      )}
      {confirm && (
        <dialog ref={dialog} aria-label={confirm}>
          <form method="dialog">
            <p>{confirm}</p>
            <div className="row">
              <button type="submit">Keep it</button>
              <button type="submit" className={kind} onClick={() => void go()}>
                {children}
              </button>
            </div>
          </form>
        </dialog>
      )}
    </>
  );
}
