import type { Event } from "@loom/hub/client";
import { useState } from "react";
import { useEvents, useLiveState } from "../live/live-context.tsx";
import { Link, to } from "../router.tsx";
import { sayEvent } from "./say-event.ts";

const SHOWN = 12;
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** What happened last, in words. */
export function ActivityList() {
  const { mesh } = useLiveState();
  const [events, setEvents] = useState<readonly Event[]>([]);
  useEvents((event, before) => {
    if (sayEvent(event, before) !== undefined) {
      setEvents((known) => [event, ...known].slice(0, SHOWN));
    }
  });
  return (
    <section className="card" aria-labelledby="rail-activity">
      <h2 id="rail-activity">Activity</h2>
      {events.length === 0 && <p className="muted">Every event is told here as it happens.</p>}
      <ol className="activity">
        {events.map((event) => (
          <li key={event.seq} className="activity-row">
            <time dateTime={event.at} className="mono muted">
              {clock.format(new Date(event.at))}
            </time>
            {event.runId ? (
              <Link href={to("runs", event.runId)}>{sayEvent(event, mesh)}</Link>
            ) : (
              <span>{sayEvent(event, mesh)}</span>
            )}
          </li>
        ))}
      </ol>
    </section>
  );
}
