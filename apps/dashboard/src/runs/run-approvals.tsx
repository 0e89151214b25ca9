import type { Run } from "@loom/client";
import { ApprovalCard } from "../approvals/approval-card.tsx";
import { useAsked } from "../approvals/use-approvals.ts";

/** The approvals that a run asks for, with their decisions. Nothing for a run that asks for none. */
export function RunApprovals({ run }: { run: Run }) {
  const { data, reload } = useAsked(run.id);
  if (!data || data.data.length === 0) return null;
  return (
    <section aria-labelledby="run-approvals">
      <h2 id="run-approvals" className="visually-hidden">
        Approvals
      </h2>
      {data.data.toReversed().map((approval) => (
        <ApprovalCard key={approval.id} approval={approval} onDecided={reload} />
      ))}
    </section>
  );
}
