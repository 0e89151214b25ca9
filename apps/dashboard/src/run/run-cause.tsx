import type { Run } from "@loom/hub/client";
import { Link } from "../router.tsx";
import { sayError } from "./say-error.ts";

/** What a person asks first: why it failed, or why it does not go on. */
export function RunCause({ run }: { run: Run }) {
  const failed = run.steps.find(({ state }) => state === "failed");
  if (failed) {
    return (
      <div className="cause cause-failed">
        <b>{failed.step}</b> failed{failed.host && ` on ${failed.host}`}: {sayError(failed.error)}
      </div>
    );
  }
  const waiting = run.steps.filter(({ state }) => state === "waiting");
  const [first] = waiting;
  if (!first) return null;
  return (
    <div className="cause cause-waiting">
      <b>{first.step}</b> waits for a node: {first.waitingReason?.summary ?? "it is being placed"}.
      {waiting.length > 1 && ` So do ${waiting.length - 1} more.`}{" "}
      <Link href={`/explain?job=${first.id}`}>Explain</Link>
    </div>
  );
}
