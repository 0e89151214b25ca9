import type { Event, Summary } from "@loom/client";
import { useRef, useState } from "react";
import { useEvents, useLiveState } from "../live/live-context.tsx";
import { describeEvent, type NamedEvent } from "../map/state/words.ts";
import { formatClock } from "../parts/moment.ts";
import { Link, to } from "../router.tsx";

const SHOWN = 12;

/**
 * Shows the latest events in words: first the events of the summary, then new ones as they happen.
 *
 * A line keeps its text when the map forgets the run that it names.
 */
export function ActivityList({ past }: { past: Summary["events"] | undefined }) {
  const { map } = useLiveState();
  const [live, setLive] = useState<readonly Event[]>([]);
  const texts = useRef(new Map<number, string>());
  useEvents((event, before) => {
    if (describeEvent(event, before) !== undefined) {
      setLive((known) => [event, ...known].slice(0, SHOWN));
    }
  });
  const textOf = (event: NamedEvent): string | undefined => {
    const isKnown =
      event.workflow !== undefined ||
      event.jobId === null ||
      (map.jobs.get(event.jobId)?.step ?? null) !== null;
    const text = (isKnown ? undefined : texts.current.get(event.seq)) ?? describeEvent(event, map);
    if (text !== undefined) texts.current.set(event.seq, text);
    return text;
  };
  // If an event is in both lists, the summary's is used, because it has names.
  const events = [
    ...new Map([...live, ...(past ?? [])].map((event) => [event.seq, event])).values(),
  ]
    .sort((one, other) => other.at.localeCompare(one.at) || other.seq - one.seq)
    .flatMap((event) => ({ event, text: textOf(event) }))
    .filter(({ text }) => text !== undefined)
    .slice(0, SHOWN);
  return (
    <section className="card" aria-labelledby="activity">
      <h2 id="activity">Activity</h2>
      {past !== undefined && events.length === 0 && (
        <p className="muted">Nothing happened in the last day.</p>
      )}
      <ol className="activity">
        {events.map(({ event, text }) => (
          <li key={event.seq} className="activity-row">
            <time dateTime={event.at} title={event.at} className="mono muted">
              {formatClock(event.at)}
            </time>
            {event.runId ? <Link href={to("runs", event.runId)}>{text}</Link> : <span>{text}</span>}
          </li>
        ))}
      </ol>
    </section>
  );
}
