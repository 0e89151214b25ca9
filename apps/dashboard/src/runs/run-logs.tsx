import { HubError, type Log, type Run } from "@loom/client";
import { useEffect, useRef, useState } from "react";
import { hub } from "../hub.ts";
import { isFinal } from "../map/state/map-state.ts";
import { Failure, Loaded } from "../parts/notice.tsx";
import { toPrintable } from "../parts/printable.ts";
import { setQuery, useAddress } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** The page shows only the end of a longer log; the API has all of it. */
const SHOWN_CHARS = 200_000;
/** Interval of requests for more output. A stream would take one of the six connections that all tabs share. */
const POLL_MS = 1_000;

/** The output of a step, as it arrives. */
export function RunLogs({ run }: { run: Run }) {
  const { query } = useAddress();
  const item = Number(query.get("job"));
  return item > 0 ? <ItemLog key={item} id={item} /> : <StepLogs run={run} />;
}

/** The output of an item of a step that maps over a list. */
function ItemLog({ id }: { id: number }) {
  const job = useHub(
    `job ${id}`,
    (call) => hub.getJob(id, call),
    (event) => event.jobId === id,
  );
  return (
    <Loaded query={job}>
      {({ step, item, state }) => (
        <>
          <button type="button" onClick={() => setQuery("job", null)}>
            Output of steps
          </button>
          <StepLog
            id={id}
            step={item === null ? step : `item ${item.index} of ${step}`}
            isOver={isFinal(state)}
          />
        </>
      )}
    </Loaded>
  );
}

/** The output of the step that is chosen; at first of one that failed or runs. */
function StepLogs({ run }: { run: Run }) {
  const { query } = useAddress();
  const chosen =
    run.steps.find(({ step }) => step === query.get("step")) ??
    run.steps.find(({ state }) => state === "failed" || state === "running") ??
    run.steps[0];
  if (!chosen) return null;
  return (
    <>
      <label className="row">
        Step
        <select value={chosen.step} onChange={({ target }) => setQuery("step", target.value)}>
          {run.steps.map(({ step }) => (
            <option key={step}>{step}</option>
          ))}
        </select>
      </label>
      <StepLog key={chosen.id} id={chosen.id} step={chosen.step} isOver={isFinal(chosen.state)} />
    </>
  );
}

function StepLog({ id, step, isOver }: { id: number; step: string; isOver: boolean }) {
  const isOverNow = useRef(isOver);
  isOverNow.current = isOver;
  const [text, setText] = useState("");
  const [fence, setFence] = useState<number | null>(null);
  const [error, setError] = useState<unknown>();

  useEffect(() => {
    const stop = new AbortController();
    const take = (part: Log, isBeginning: boolean) => {
      setFence(part.fence);
      setText((before) => ((isBeginning ? "" : before) + part.text).slice(-SHOWN_CHARS));
    };
    follow(id, { isOver: () => isOverNow.current, take, signal: stop.signal }).catch(
      (thrown: unknown) => stop.signal.aborted || setError(thrown),
    );
    return () => stop.abort();
  }, [id]);

  if (error !== undefined) return <Failure error={error} />;
  return (
    <figure className="log">
      <figcaption className="muted">
        Output of {step}
        {fence !== null && `, attempt by fence ${fence}`}
        {text.length >= SHOWN_CHARS && `; only its end, all of it is at /api/loom/jobs/${id}/logs`}
      </figcaption>
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling element must be reachable by keyboard */}
      <pre tabIndex={0}>{text === "" ? "It has sent no output." : toPrintable(toLines(text))}</pre>
    </figure>
  );
}

/** Reads a job's output to its end, part by part, and starts over with a new attempt. Rests while the tab is hidden. */
async function follow(
  id: number,
  {
    isOver,
    take,
    signal,
  }: {
    isOver: () => boolean;
    take: (part: Log, isBeginning: boolean) => void;
    signal: AbortSignal;
  },
): Promise<void> {
  let fence: number | null = null;
  let offset = 0;
  while (!signal.aborted) {
    // Asked before the read: output that comes during it is then read in the next round.
    const isLast = isOver();
    const part = document.hidden ? undefined : await read(id, offset, signal);
    if (part && part.fence !== fence && offset > 0) {
      offset = 0;
    } else if (part && part.text !== "") {
      take(part, offset === 0);
      offset = part.next;
    } else if (part && isLast) {
      return;
    } else {
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    fence = part?.fence ?? fence;
  }
}

/** Undefined while the hub does not answer. */
async function read(id: number, offset: number, signal: AbortSignal): Promise<Log | undefined> {
  try {
    return await hub.getJobLog(id, { offset }, { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof HubError && error.status < 500 && error.status !== 429) throw error;
    return undefined;
  }
}

/** Formats lines of JSON, which steps log, as `message key=value`; leaves other lines as they are. */
const toLines = (text: string): string =>
  text
    .split("\n")
    .map((line) => {
      if (!line.startsWith("{")) return line;
      try {
        const { msg, level: _, time, ...rest } = JSON.parse(line) as Record<string, unknown>;
        const facts = Object.entries(rest).map(
          ([name, value]) => `${name}=${JSON.stringify(value)}`,
        );
        return [time, msg, ...facts].filter((part) => part !== undefined).join(" ");
      } catch {
        return line;
      }
    })
    .join("\n");
