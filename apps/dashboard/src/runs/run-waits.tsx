import type { Run } from "@loom/client";
import { formatMoment } from "../parts/moment.ts";
import { toPrintable } from "../parts/printable.ts";
import { Left } from "../parts/time.tsx";

type Step = Run["steps"][number];

/** The steps that wait for a time or a signal, each with its end. People are asked in `RunApprovals`. */
export function RunWaits({ run }: { run: Run }) {
  const waits = run.steps.filter(
    ({ state, waitingReason }) =>
      state === "suspended" && ["sleep", "signal"].includes(waitingReason?.code ?? ""),
  );
  if (waits.length === 0) return null;
  return (
    <ul className="cause cause-waiting waits">
      {waits.map(({ id, step, waitingReason }) => {
        const until = untilOf(waitingReason);
        return (
          <li key={id}>
            <b>{step}</b>{" "}
            {waitingReason?.code === "sleep"
              ? "sleeps"
              : `waits for the signal ${toPrintable(String(waitingReason?.event ?? ""))}${
                  waitingReason?.key
                    ? ` with the key ${toPrintable(String(waitingReason.key))}`
                    : ""
                }`}
            {until && (
              <>
                {" "}
                until {formatMoment(until)}, <Left until={until} /> from now
              </>
            )}
          </li>
        );
      })}
    </ul>
  );
}

/** What a suspended step waits for, in a line of its card. */
export function StepWait({ step: { waitingReason: reason } }: { step: Step }) {
  const until = untilOf(reason);
  const what = { sleep: "sleeps", signal: "a signal", approval: "a person" }[reason?.code ?? ""];
  return (
    <span className="muted">
      {what ?? "its condition"}
      {until && (
        <>
          , <Left until={until} /> left
        </>
      )}
    </span>
  );
}

/** When a wait ends, if it does by itself. */
const untilOf = (reason: Step["waitingReason"]): string | undefined =>
  typeof reason?.until === "string" ? reason.until : undefined;
