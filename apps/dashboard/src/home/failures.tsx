import type { Summary } from "@loom/client";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { StateBadge, shortId } from "../parts/marks.tsx";
import { toPrintable } from "../parts/printable.ts";
import { Ago } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";

type Failure = Summary["failures"][number];

const SHOWN = 6;

/** The failed runs of the same step for the same cause. */
interface Cause {
  key: string;
  newest: Failure;
  count: number;
}

/** Groups failures by cause. Failures without a successful retry come first. */
function groupFailures(failures: readonly Failure[]): Cause[] {
  const causes = new Map<string, Cause>();
  for (const failure of failures) {
    const key = JSON.stringify([failure.workflow, failure.step, failure.error]);
    const known = causes.get(key);
    if (known) known.count += 1;
    else causes.set(key, { key, newest: failure, count: 1 });
  }
  const isSolved = ({ newest }: Cause) => newest.repeatedStatus === "succeeded";
  return [...causes.values()].sort((one, other) => Number(isSolved(one)) - Number(isSolved(other)));
}

/** Shows why runs failed, with a button that repeats the failed steps. */
export function Failures({
  failures,
  onChange,
}: {
  failures: readonly Failure[];
  onChange: () => void;
}) {
  const causes = groupFailures(failures);
  if (causes.length === 0) return null;
  return (
    <ul className="failures" aria-label="Failures">
      {causes.slice(0, SHOWN).map((cause) => (
        <FailureRow key={cause.key} cause={cause} onChange={onChange} />
      ))}
      {causes.length > SHOWN && (
        <li>
          <Link href="/runs?status=failed">and {causes.length - SHOWN} more causes</Link>
        </li>
      )}
    </ul>
  );
}

function FailureRow({
  cause: { newest, count },
  onChange,
}: {
  cause: Cause;
  onChange: () => void;
}) {
  const { runId, workflow, step, node, at, error, repeatedAs, repeatedStatus } = newest;
  const mayRun = useHasScope("run");
  const mayRepeat =
    repeatedStatus === null || repeatedStatus === "failed" || repeatedStatus === "cancelled";
  return (
    <li className={repeatedStatus === "succeeded" ? "failure is-solved" : "failure"}>
      <div>
        <p>
          <Link href={to("runs", runId)} className="strong">
            {workflow}
            {step && ` · ${step}`}
          </Link>{" "}
          <span className="muted">
            failed{count > 1 && ` ${count} times`}
            {node && ` on ${node}`}, <Ago at={at} />
          </span>
        </p>
        <p className="mono failure-cause">{toPrintable(error ?? "no step says why")}</p>
        {repeatedAs && repeatedStatus && (
          <p>
            repeated as <Link href={to("runs", repeatedAs)}>{shortId(repeatedAs)}</Link>{" "}
            <StateBadge state={repeatedStatus} />
          </p>
        )}
      </div>
      {mayRun && mayRepeat && (
        <ActionButton
          label={`Retry ${workflow}`}
          action={() => hub.retryRun(runId, { mode: "failed" }).then(onChange)}
        >
          Retry
        </ActionButton>
      )}
    </li>
  );
}
