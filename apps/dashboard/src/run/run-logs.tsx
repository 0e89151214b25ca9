import type { Run } from "@loom/hub/client";
import { useEffect, useState } from "react";
import { hub } from "../hub.ts";
import { Failure } from "../parts/notice.tsx";
import { setQuery, useAddress } from "../router.tsx";

/** The end of a long log is what is read; the API has all of it. */
const SHOWN_CHARS = 200_000;

/** A step's output, as it comes. */
export function RunLogs({ run }: { run: Run }) {
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
      <StepLog key={chosen.id} id={chosen.id} step={chosen.step} />
    </>
  );
}

function StepLog({ id, step }: { id: number; step: string }) {
  const [text, setText] = useState("");
  const [fence, setFence] = useState<number | null>(null);
  const [error, setError] = useState<unknown>();

  useEffect(() => {
    const stop = new AbortController();
    const follow = async () => {
      let current: number | null = null;
      for await (const { data } of hub.streamJobLog(id, { signal: stop.signal })) {
        // A new fence is a new attempt: its output begins anew.
        const isNewAttempt = data.fence !== current;
        current = data.fence;
        setFence(current);
        setText((before) => ((isNewAttempt ? "" : before) + data.text).slice(-SHOWN_CHARS));
      }
    };
    follow().catch((thrown: unknown) => stop.signal.aborted || setError(thrown));
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
      {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls has to be reachable by keyboard */}
      <pre tabIndex={0}>{text === "" ? "It has sent no output." : toLines(text)}</pre>
    </figure>
  );
}

/** Lines of JSON, as steps log them, as `message key=value`; all others as they are. */
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
