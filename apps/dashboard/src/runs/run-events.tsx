import type { Run } from "@loom/client";
import { useLive, useLiveState } from "../live/live-context.tsx";
import { Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
});

/** The recorded events of the run, in order. */
export function RunEvents({ run }: { run: Run }) {
  const { recorder } = useLive();
  useLiveState();
  const events = recorder
    .eventsBetween(0, Number.POSITIVE_INFINITY)
    .filter(({ runId }) => runId === run.id);
  const names = new Map(run.steps.map(({ id, step }) => [id, step]));
  if (events.length === 0) {
    return (
      <Notice title="No event of this run is recorded">
        <p>The page keeps the events of the last fifteen minutes.</p>
      </Notice>
    );
  }
  return (
    <Rows heads={["At", "Event", "Step", "State", "Node", "Detail"]}>
      {events.map((event) => (
        <tr key={event.seq}>
          <td className="mono">{clock.format(new Date(event.at))}</td>
          <td className="mono">{event.type}</td>
          <td data-label="step">{names.get(event.jobId ?? 0) ?? "–"}</td>
          <td data-label="state">{event.state ?? "–"}</td>
          <td data-label="node">{event.node ?? "–"}</td>
          <td data-label="detail">{event.detail ?? "–"}</td>
        </tr>
      ))}
    </Rows>
  );
}
