import type { Diagnosis } from "@loom/hub/client";
import { useEffect, useRef } from "react";
import type { Examined } from "../doctor/use-doctor.ts";
import { Answer } from "../parts/notice.tsx";
import { StateBadge } from "../parts/state-badge.tsx";
import type { Asked } from "../use-hub.ts";

type Check = Diagnosis["checks"][number];

const WORST_FIRST: readonly Check["status"][] = ["fail", "warn", "ok", "skipped"];

/** What somebody would look at when a remote step stays pending: found, and what would mend it. */
export function DoctorPage({ doctor }: { doctor: Asked<Examined> }) {
  const { data, error, reload } = doctor;
  const wasAnswered = useRef(data !== undefined || error !== undefined);
  // Who comes here wants to know how it is, not how it was a minute ago; what is being asked will tell.
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
      <Answer asked={doctor}>
        {({ at, status, checks }) => (
          <>
            <p className="facts" role="status">
              <StateBadge state={status} />
              <span>{sayCounts(checks)}</span>
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
                    <b>{sayName(name)}</b>
                    <span className="muted said">{summary}</span>
                  </li>
                ))}
            </ul>
          </>
        )}
      </Answer>
    </>
  );
}

const byStatus = (one: Check, other: Check): number =>
  WORST_FIRST.indexOf(one.status) - WORST_FIRST.indexOf(other.status);

function sayCounts(checks: readonly Check[]): string {
  const count = (status: Check["status"]) => checks.filter((one) => one.status === status).length;
  const [failed, warned, skipped] = [count("fail"), count("warn"), count("skipped")];
  const bad = [
    failed > 0 && `${failed} of ${checks.length} checks failed`,
    warned > 0 && `${warned} ${warned === 1 ? "warning" : "warnings"}`,
  ].filter(Boolean);
  const rest = skipped > 0 ? `, ${skipped} could not be asked` : "";
  return `${bad.join(", ") || "Nothing is wrong"}${rest}`;
}

const isFound = ({ findings }: Check): boolean => findings.length > 0;
const sayName = (name: string): string => name.replaceAll("-", " ");

function Found({ check: { name, status, findings } }: { check: Check }) {
  return (
    <section className="card" aria-label={sayName(name)}>
      <h2 className="row">
        <StateBadge state={status} /> {sayName(name)}
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
