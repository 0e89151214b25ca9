import type { JoinToken, NewJoinToken } from "@loom/client";
import type { ReactNode } from "react";
import { hub } from "../hub.ts";
import { useLiveState } from "../live/live-context.tsx";
import { ActionButton } from "../parts/action-button.tsx";
import { CopyLine } from "../parts/copy-line.tsx";
import { formatDuration, useNow } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { RunStarter } from "../runs/run-starter.tsx";
import { useHub } from "../use-hub.ts";
import { AskedOffers } from "./node-keys.tsx";

export type JoinTokens = readonly JoinToken[];

/** Shows the line to paste and the machine's progress: each step is ticked when it has happened. */
export function Joining({
  made,
  tokens,
  onMade,
  onDone,
}: {
  made: NewJoinToken;
  tokens: JoinTokens;
  onMade: (token: NewJoinToken) => void;
  onDone: () => void;
}) {
  const now = useNow();
  const token = tokens.find(({ id }) => id === made.id) ?? made;
  const [joined] = token.joined;
  const leftMs = Date.parse(token.expiresAt) - now;
  const isOver = !joined && (leftMs <= 0 || token.revokedAt !== null);
  const again = async () => {
    const { node, mayOffer } = made;
    onMade(await hub.createJoinToken({ mayOffer, ...(node !== null && { node }) }));
  };
  return (
    <section className="card" aria-labelledby="joining">
      <h2 id="joining">{joined ? `${joined.node} has joined` : "Paste this line"}</h2>
      {isOver ? (
        <div className="cause cause-waiting" role="alert">
          <p>
            {token.revokedAt === null ? "The line has expired." : "The line was revoked."} Nothing
            joined with it.
          </p>
          <ActionButton kind="main" action={again}>
            Make a new line
          </ActionButton>
        </div>
      ) : (
        !joined && (
          <>
            <p>
              Paste this into a terminal of {made.node ?? "the machine"}, as the user that will run
              the work:
            </p>
            <CopyLine text={made.line} label="the line" />
            <p className="muted">
              Good for {formatDuration(Math.floor(leftMs / 1_000) * 1_000)}, for one machine. It is
              shown once.
            </p>
          </>
        )
      )}
      {joined ? (
        <JoinedTicks node={joined.node} at={joined.at} />
      ) : (
        <Ticks
          done={1}
          texts={["The line is made", "The machine joins", "It answers", "A step runs there"]}
        />
      )}
      <button type="button" onClick={onDone}>
        {joined ? "Add another machine" : "Start over"}
      </button>
    </section>
  );
}

/** The steps after a machine has joined: it says hello, and runs something. */
function JoinedTicks({ node, at }: { node: string; at: string }) {
  const { map } = useLiveState();
  const answers = map.nodes.get(node)?.online === true;
  const jobs = useHub(
    `first jobs of ${node}`,
    (call) => hub.listJobs({ node, limit: 20 }, call),
    (event) => event.node === node,
  );
  const asking = useHub(
    `${node} that joined ${answers}`,
    (call) => (answers ? hub.getNode(node, call) : Promise.resolve(undefined)),
    (event) => event.node === node && event.type.startsWith("node."),
  );
  const first = (jobs.data?.data ?? []).find(
    ({ ranOn, claimedAt }) => ranOn === node && claimedAt !== null && claimedAt >= at,
  );
  const link = <Link href={to("nodes", node)}>{node}</Link>;
  return (
    <>
      <Ticks
        done={first ? 4 : answers ? 3 : 2}
        texts={[
          "The line is made",
          <>The machine joined as {link}</>,
          answers || first ? "It answers" : "It starts its agent",
          first
            ? `It ${first.finishedAt === null ? "runs" : "ran"} ${first.workflow} · ${first.step}`
            : "A step runs there",
        ]}
      />
      {asking.data && <AskedOffers node={asking.data} onChange={asking.reload} />}
      {answers && !first && (
        <div className="row">
          <span>Give it something to do:</span>
          <RunStarter />
        </div>
      )}
    </>
  );
}

/** Shows a list of steps. The first ones are done. */
function Ticks({ done, texts }: { done: number; texts: readonly ReactNode[] }) {
  return (
    <ol className="ticks" aria-live="polite">
      {texts.map((text, index) => {
        const state = index < done ? "done" : index === done ? "next" : "later";
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: the steps never move
          <li key={index} className={`tick tick-${state}`}>
            <span aria-hidden="true" className="tick-mark">
              {state === "done" ? "✓" : index + 1}
            </span>
            <span>
              {text}
              <span className="visually-hidden">
                {state === "done" ? ", done" : state === "next" ? ", waiting for it" : ""}
              </span>
            </span>
          </li>
        );
      })}
    </ol>
  );
}
