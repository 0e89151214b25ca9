import type { JobSummary } from "@loom/client";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { shortId, Tags, ThreadMark } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Ago, Took } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { groupWaiting, type WaitingGroup } from "./waiting-list.tsx";

const SHOWN = 20;

/** The steps that wait for a node, in groups with the same needs and reason. */
export function QueuePage() {
  const waiting = useHub(
    "waiting",
    (call) => hub.listJobs({ state: "waiting", limit: 200 }, call),
    ({ type }) => /^(job|node|workflow)\./.test(type),
  );
  return (
    <>
      <h1>Queue</h1>
      <p className="muted">
        These steps are ready to run, and no node has taken them. Steps that wait for another step
        are on their run's page.
      </p>
      <Loaded query={waiting}>
        {({ data, next }) =>
          data.length === 0 ? (
            <Notice title="Nothing waits">
              <p>Every step that can run has a node.</p>
            </Notice>
          ) : (
            <>
              {next !== null && <p className="muted">The newest {data.length} are shown.</p>}
              {groupWaiting(data, ({ waitingReason }) => waitingReason?.summary ?? null).map(
                (group) => (
                  <Group key={group.key} group={group} onChange={waiting.reload} />
                ),
              )}
            </>
          )
        }
      </Loaded>
    </>
  );
}

function Group({ group, onChange }: { group: WaitingGroup<JobSummary>; onChange: () => void }) {
  const mayRun = useHasScope("run");
  const [first] = group.jobs;
  const [oldest = ""] = group.jobs.map(({ createdAt }) => createdAt).sort();
  return (
    <section className="card queue-group">
      <h2>
        {group.jobs.length} {group.jobs.length === 1 ? "step needs" : "steps need"}{" "}
        <Tags tags={group.requires} />
      </h2>
      <p className="queue-reason">{sentence(group.reason ?? "it is being placed")}</p>
      <p className="muted">
        The oldest has waited for <Took from={oldest} until={null} />.
      </p>
      {first && (
        <p>
          <Link href={`/explain?job=${first.id}`}>What each node says</Link>
        </p>
      )}
      <ul className="queue-jobs">
        {group.jobs.slice(0, SHOWN).map((job) => (
          <li key={job.id} className="row">
            {job.runId ? (
              <Link href={to("runs", job.runId)} className="run-name">
                <ThreadMark runId={job.runId} />
                {job.workflow} · {job.step} <span className="mono muted">{shortId(job.runId)}</span>
              </Link>
            ) : (
              `${job.workflow} · ${job.step}`
            )}
            <span className="muted end">
              <Ago at={job.createdAt} />
            </span>
            {mayRun && (
              <ActionButton
                action={() => hub.cancelJob(job.id).then(onChange)}
                confirm={`Cancel ${job.step} of ${job.workflow}? The steps after it are skipped.`}
              >
                Cancel
              </ActionButton>
            )}
          </li>
        ))}
      </ul>
      {group.jobs.length > SHOWN && <p className="muted">and {group.jobs.length - SHOWN} more</p>}
    </section>
  );
}

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
