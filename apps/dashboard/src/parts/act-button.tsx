import { type ReactNode, useRef, useState } from "react";
import { describe } from "./notice.tsx";

/**
 * A button that asks the hub for something: it waits for the answer, and says what was wrong.
 *
 * @param confirm - Asked first, of what cannot be undone.
 */
export function ActButton({
  act,
  confirm,
  kind = "plain",
  disabled = false,
  children,
}: {
  act: () => Promise<unknown>;
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
      await act();
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
        disabled={disabled || isBusy}
        onClick={() => (confirm ? dialog.current?.showModal() : void go())}
      >
        {children}
      </button>
      {problem && (
        <span className="act-problem" role="alert">
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
