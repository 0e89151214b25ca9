import { Loaded, Notice } from "../parts/notice.tsx";
import { ApprovalCard } from "./approval-card.tsx";
import { MOST, useAsked, usePending } from "./use-approvals.ts";

/** What steps ask of people: what is to be decided, and what was decided by whom. */
export function ApprovalsPage() {
  const pending = usePending();
  const asked = useAsked();
  const reload = () => {
    pending.reload();
    asked.reload();
  };
  return (
    <>
      <h1>Approvals</h1>
      <Loaded query={pending}>
        {({ data, next }) =>
          data.length === 0 ? (
            <Notice title="Nothing waits for a person">
              <p>
                A step that is defined with <code>.approve()</code> asks here, and the run goes on
                when somebody has decided.
              </p>
            </Notice>
          ) : (
            <>
              {data.map((approval) => (
                <ApprovalCard key={approval.id} approval={approval} onDecided={reload} />
              ))}
              {next !== null && <p className="muted">The newest {MOST} are shown.</p>}
            </>
          )
        }
      </Loaded>
      <Loaded query={asked}>
        {({ data }) => {
          const decided = data.filter(({ state }) => state !== "pending");
          if (decided.length === 0) return null;
          return (
            <>
              <h2>Decided</h2>
              {decided.map((approval) => (
                <ApprovalCard key={approval.id} approval={approval} onDecided={reload} />
              ))}
            </>
          );
        }}
      </Loaded>
    </>
  );
}
