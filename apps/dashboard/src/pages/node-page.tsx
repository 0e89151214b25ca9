import type { Node } from "@loom/hub/client";
import type { ReactNode } from "react";
import { hub } from "../hub.ts";
import { ActButton } from "../parts/act-button.tsx";
import { JsonView } from "../parts/json-view.tsx";
import { Answer, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { sayAge } from "../parts/say-time.ts";
import { SlotBar } from "../parts/slot-bar.tsx";
import { StateBadge } from "../parts/state-badge.tsx";
import { StrandMark, shortId } from "../parts/strand-mark.tsx";
import { KNOWS, Tags } from "../parts/tags.tsx";
import { Ago } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { useMay } from "../session-context.tsx";
import { useHub } from "../use-hub.ts";
import { conditionOf } from "./nodes-page.tsx";

/** One machine: what it offers, what it runs, what it ran. */
export function NodePage({ name }: { name: string }) {
  const node = useHub(
    `node ${name}`,
    (call) => hub.getNode(name, call),
    (event) => event.node === name,
  );
  const missing = (
    <Notice title={`No node is called ${name}`}>
      <p>
        <Link href="/nodes">All nodes</Link>
      </p>
    </Notice>
  );
  return (
    <Answer asked={node} missing={missing}>
      {(data) => <OneNode node={data} onChange={node.reload} />}
    </Answer>
  );
}

function OneNode({ node, onChange }: { node: Node; onChange: () => void }) {
  return (
    <>
      <div className="row spread">
        <h1 className="row">
          {node.name} <StateBadge state={conditionOf(node)} />
        </h1>
        <NodeActs node={node} onChange={onChange} />
      </div>
      {node.statusNote && (
        <div className="cause cause-waiting">
          {node.status}: {node.statusNote}
          {node.statusUntil && ` (until ${node.statusUntil})`}
        </div>
      )}
      <dl className="facts-list">
        <Fact name="Slots">
          <SlotBar node={node} />
        </Fact>
        <Fact name="Last seen">{node.lastSeenMs === null ? "never" : sayAge(node.lastSeenMs)}</Fact>
        <Fact name="Agent">{node.agentVersion ?? "unknown"}</Fact>
        <Fact name="Tailnet address">{node.tailnetAddress ?? "unknown"}</Fact>
        <Fact name="Offers" isWide>
          <Tags tags={node.capabilities} none="nothing in particular" />
        </Fact>
        <Fact name="Workflows" isWide>
          {node.capabilities
            .filter((capability) => capability.startsWith(KNOWS))
            .map((capability) => capability.slice(KNOWS.length))
            .join(", ") || "none"}
        </Fact>
      </dl>
      <NodeJobs name={node.name} />
      <h2>Facts</h2>
      <JsonView label="facts" value={node.facts} />
    </>
  );
}

function NodeActs({
  node: { name, status, running },
  onChange,
}: {
  node: Node;
  onChange: () => void;
}) {
  if (!useMay("operate")) return null;
  const steer = (verb: "pause" | "drain" | "resume") => () =>
    hub.steerNode(name, verb).then(onChange);
  if (status !== "active") {
    return (
      <ActButton kind="main" act={steer("resume")}>
        Resume node
      </ActButton>
    );
  }
  return (
    <div className="row">
      <ActButton
        act={steer("pause")}
        confirm={`Pause ${name}? It takes nothing new until it is resumed; the ${running} it runs go on.`}
      >
        Pause node
      </ActButton>
      <ActButton
        kind="danger"
        act={steer("drain")}
        confirm={`Drain ${name}? It takes nothing new, and is free when the ${running} it runs have ended.`}
      >
        Drain node
      </ActButton>
    </div>
  );
}

const Fact = ({
  name,
  isWide = false,
  children,
}: {
  name: string;
  isWide?: boolean;
  children: ReactNode;
}) => (
  <div className={isWide ? "wide" : undefined}>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);

function NodeJobs({ name }: { name: string }) {
  const jobs = useHub(
    `jobs of ${name}`,
    (call) => hub.listJobs({ node: name, limit: 25 }, call),
    (event) => event.node === name,
  );
  return (
    <>
      <h2>Work</h2>
      <Answer asked={jobs}>
        {({ data }) =>
          data.length === 0 ? (
            <p className="muted">It has run nothing yet.</p>
          ) : (
            <Rows heads={["State", "Step", "Run", "Attempt", "Taken"]}>
              {data.map((job) => (
                <tr key={job.id}>
                  <td>
                    <StateBadge state={job.state} />
                  </td>
                  <td className="strong">
                    {job.workflow} · {job.step}
                  </td>
                  <td data-label="run">
                    {job.runId === null ? (
                      "on its own"
                    ) : (
                      <Link href={to("runs", job.runId)} className="run-name">
                        <StrandMark runId={job.runId} />
                        <span className="mono">{shortId(job.runId)}</span>
                      </Link>
                    )}
                  </td>
                  <td data-label="attempt" className="number">
                    {job.attempt}/{job.maxAttempts}
                  </td>
                  <td data-label="taken">{job.claimedAt ? <Ago at={job.claimedAt} /> : "–"}</td>
                </tr>
              ))}
            </Rows>
          )
        }
      </Answer>
    </>
  );
}
