import { type Replay, SPEEDS } from "./use-replay.ts";

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

/** Goes back through what happened, up to fifteen minutes. */
export function ReplayBar({ replay }: { replay: Replay }) {
  const { at, range, isPlaying, speed } = replay;
  const shown = at ?? range.until;
  return (
    <div className="replay">
      {isPlaying ? (
        <button type="button" onClick={replay.hold}>
          Hold
        </button>
      ) : (
        <button type="button" onClick={() => replay.play(speed)}>
          Replay
        </button>
      )}
      <input
        type="range"
        aria-label="Moment"
        aria-valuetext={at === null ? "now" : clock.format(shown)}
        min={range.from}
        max={Math.max(range.until, range.from + 1)}
        value={shown}
        onChange={({ target }) => replay.seek(Number(target.value))}
      />
      <output className="replay-at">{at === null ? "now" : clock.format(shown)}</output>
      <select
        aria-label="Speed"
        value={speed}
        onChange={({ target }) => {
          const chosen = SPEEDS.find((one) => one === Number(target.value)) ?? 1;
          replay.play(chosen);
        }}
      >
        {SPEEDS.map((one) => (
          <option key={one} value={one}>
            {one}×
          </option>
        ))}
      </select>
      {at !== null && (
        <button type="button" className="main" onClick={replay.goLive}>
          Back to now
        </button>
      )}
    </div>
  );
}
