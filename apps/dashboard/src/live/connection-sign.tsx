import { sayDuration } from "../parts/say-time.ts";
import { useNow } from "../parts/time.tsx";
import type { ConnectionState } from "./connection.ts";
import { useLive, useLiveState } from "./live-context.tsx";

const WORDS: Readonly<Record<ConnectionState, string>> = {
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  paused: "paused",
  refused: "hub unavailable",
};

/** Whether what is on the page is how things are, and the control that holds it still. */
export function ConnectionSign() {
  const live = useLive();
  const { connection, heardAt } = useLiveState();
  useNow();
  const isPaused = connection === "paused";
  const isCut = connection === "reconnecting" || connection === "refused";
  return (
    <div className={`connection connection-${connection}`}>
      <span className="connection-word" role="status">
        <span className="dot" aria-hidden="true" />
        {WORDS[connection]}
      </span>
      {isCut && (
        <span className="muted hide-narrow">as of {sayDuration(Date.now() - heardAt)} ago</span>
      )}
      <button
        type="button"
        className="quiet"
        aria-keyshortcuts="p"
        onClick={() => (isPaused ? live.resume() : live.pause())}
      >
        {isPaused ? "Resume" : "Pause"}
      </button>
    </div>
  );
}
