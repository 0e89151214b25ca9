import type { Diagnosis } from "@loom/client";
import { useEffect, useRef } from "react";
import { StateBadge } from "../parts/marks.tsx";
import { Loaded } from "../parts/notice.tsx";
import type { HubQuery } from "../use-hub.ts";
import type { Examined } from "./use-doctor.ts";

type CheckReport = Diagnosis["checks"][number];

const WORST_FIRST: readonly CheckReport["status"][] = ["fail", "warn", "ok", "skipped"];

/** The doctor's checks: for each problem the evidence and a fix, worst first. */
export function DoctorPage({ doctor }: { doctor: HubQuery<Examined> }) {
  const { data, error, reload } = doctor;
  const wasAnswered = useRef(data !== undefined || error !== undefined);
  // A visitor wants the state of now, not of a minute ago. A first request under way is new enough.
  useEffect(() => {
    if (wasAnswered.current) reload();
  }, [reload]);
  return (
    <>
      <div className="row spread">
        <h1>Doctor</h1>
        <button type="button" onClick={reload}>
          Check again
        </button>
      </div>
      <Loaded query={doctor}>
        {({ at, status, checks }) => (
          <>
            <p className="facts" role="status">
              <StateBadge state={status} />
              <span>{formatCounts(checks)}</span>
              <span className="muted">
                checked <time>{new Date(at).toLocaleTimeString()}</time>
              </span>
            </p>
            {checks
              .filter(isFound)
              .toSorted(byStatus)
              .map((check) => (
                <Found key={check.name} check={check} />
              ))}
            <ul className="card" aria-label="Checks without findings">
              {checks
                .filter((check) => !isFound(check))
                .toSorted(byStatus)
                .map(({ name, status: each, summary }) => (
                  <li key={name} className="check">
                    <StateBadge state={each} />
                    <b>{formatName(name)}</b>
                    <span className="muted output">{summary}</span>
                  </li>
                ))}
            </ul>
          </>
        )}
      </Loaded>
    </>
  );
}

const byStatus = (one: CheckReport, other: CheckReport): number =>
  WORST_FIRST.indexOf(one.status) - WORST_FIRST.indexOf(other.status);

function formatCounts(checks: readonly CheckReport[]): string {
  const count = (status: CheckReport["status"]) =>
    checks.filter((one) => one.status === status).length;
  const [failed, warned, skipped] = [count("fail"), count("warn"), count("skipped")];
  const bad = [
    failed > 0 && `${failed} of ${checks.length} checks failed`,
    warned > 0 && `${warned} ${warned === 1 ? "warning" : "warnings"}`,
  ].filter(Boolean);
  const rest = skipped > 0 ? `, ${skipped} could not be checked` : "";
  return `${bad.join(", ") || "Nothing is wrong"}${rest}`;
}

const isFound = ({ findings }: CheckReport): boolean => findings.length > 0;
const formatName = (name: string): string => name.replaceAll("-", " ");

function Found({ check: { name, status, findings } }: { check: CheckReport }) {
  return (
    <section className="card" aria-label={formatName(name)}>
      <h2 className="row">
        <StateBadge state={status} /> {formatName(name)}
      </h2>
      <ul className="findings">
        {findings.map((finding) => (
          <li key={`${finding.subject} ${finding.evidence}`}>
            <StateBadge state={finding.status} />
            <div>
              <p>
                <b>{finding.subject}</b> {finding.evidence}
              </p>
              <p className="muted">{finding.fix}</p>
            </div>
          </li>
        ))}
      </ul>
    </section>
  );
}
