import type { Node } from "@loom/client";
import type { ReactNode } from "react";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { JsonView } from "../parts/json-view.tsx";
import { CODE_OF, conditionOf, StateBadge, shortId, Tags, ThreadMark } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago, formatAge } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { AskedOffers, NodeKeys, RemoveNode } from "./node-keys.tsx";
import { SlotBar } from "./nodes-page.tsx";

/** Shortens a version: its beginning is enough to recognise it. */
const DIGEST = /([0-9a-f]{12})[0-9a-f]{52}$/;

/** A node: its capabilities and the jobs that it runs and ran. */
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
    <Loaded query={node} missing={missing}>
      {(data) => <OneNode node={data} onChange={node.reload} />}
    </Loaded>
  );
}

function OneNode({ node, onChange }: { node: Node; onChange: () => void }) {
  const maySeeKeys = useHasScope("operate");
  return (
    <>
      <div className="row spread">
        <h1 className="row">
          {node.name} <StateBadge state={conditionOf(node)} />
        </h1>
        <div className="row">
          <NodeActions node={node} onChange={onChange} />
          <RemoveNode node={node} />
        </div>
      </div>
      <AskedOffers node={node} onChange={onChange} />
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
        <Fact name="Last seen">
          {node.lastSeenMs === null ? "never" : formatAge(node.lastSeenMs)}
        </Fact>
        <Fact name="Agent">
          {node.agentVersion ?? "unknown"}
          {node.agent?.drainsUntil &&
            `, becomes a new one when what runs has ended, at the latest at ${node.agent.drainsUntil}`}
        </Fact>
        <Fact name="Tailnet address">{node.tailnetAddress ?? "unknown"}</Fact>
        <Fact name="Offers" isWide>
          <Tags tags={node.capabilities} none="nothing in particular" />
        </Fact>
        <Fact name="Workflows" isWide>
          {node.capabilities
            .filter((capability) => capability.startsWith(CODE_OF))
            .map((capability) => capability.slice(CODE_OF.length).replace(DIGEST, "$1"))
            .join(", ") || "none"}
        </Fact>
      </dl>
      <NodeJobs name={node.name} />
      {maySeeKeys && <NodeKeys name={node.name} />}
      <h2>Facts</h2>
      <JsonView label="facts" value={node.facts} />
    </>
  );
}

function NodeActions({
  node: { name, status, running, agent },
  onChange,
}: {
  node: Node;
  onChange: () => void;
}) {
  if (!useHasScope("operate")) return null;
  const steer = (verb: "pause" | "drain" | "resume") => () =>
    hub.steerNode(name, verb).then(onChange);
  if (status !== "active") {
    return (
      <ActionButton kind="main" action={steer("resume")}>
        Resume node
      </ActionButton>
    );
  }
  return (
    <div className="row">
      {agent?.isPresent === false && !agent.isOrdered && (
        <ActionButton
          action={() => hub.upgradeNode(name).then(onChange)}
          confirm={`Upgrade ${name}? It finishes the ${running} it runs, and takes the agent that this hub has.`}
        >
          Upgrade agent
        </ActionButton>
      )}
      <ActionButton
        action={steer("pause")}
        confirm={`Pause ${name}? It takes nothing new until it is resumed; the ${running} it runs go on.`}
      >
        Pause node
      </ActionButton>
      <ActionButton
        kind="danger"
        action={steer("drain")}
        confirm={`Drain ${name}? It takes nothing new, and is free when the ${running} it runs have ended.`}
      >
        Drain node
      </ActionButton>
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
      <Loaded query={jobs}>
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
                        <ThreadMark runId={job.runId} />
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
      </Loaded>
    </>
  );
}
