import type { Node } from "@loom/client";
import { hub } from "../hub.ts";
import { conditionOf, StateBadge, Tags } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { formatAge } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** All nodes. */
export function NodesPage() {
  const nodes = useHub(
    "nodes",
    (call) => hub.listNodes(call),
    ({ type }) => type.startsWith("node.") || type === "job.claimed" || type === "job.settled",
  );
  return (
    <>
      <div className="row spread">
        <h1>Nodes</h1>
        <div className="row">
          <Link href="/mesh">How they are connected</Link>
          <Link href="/add-machine" className="button main">
            Add a machine
          </Link>
        </div>
      </div>
      <Loaded query={nodes}>
        {({ data }) =>
          data.length === 0 ? (
            <Notice title="No machine has joined yet">
              <p>
                <Link href="/add-machine">Add a machine</Link>, and it appears here.
              </p>
            </Notice>
          ) : (
            <>
              <NodeTable nodes={data} />
              {data.length === 1 && (
                <p className="muted">
                  One machine is enough to begin. Another one takes part of the work, or work that
                  this one cannot do: <Link href="/add-machine">Add a machine</Link>
                </p>
              )}
            </>
          )
        }
      </Loaded>
    </>
  );
}

const NodeTable = ({ nodes }: { nodes: readonly Node[] }) => (
  <Rows heads={["Condition", "Node", "Slots", "Offers", "Address", "Version", "Last seen"]}>
    {nodes.map((node) => (
      <tr key={node.name}>
        <td>
          <StateBadge state={conditionOf(node)} />
        </td>
        <td>
          <Link href={to("nodes", node.name)} className="strong">
            {node.name}
          </Link>
        </td>
        <td data-label="slots">
          <SlotBar node={node} />
        </td>
        <td data-label="offers">
          <Tags tags={node.capabilities} none="nothing in particular" />
        </td>
        <td data-label="address" className="mono">
          {node.tailnetAddress ?? "–"}
        </td>
        <td data-label="version" className="mono">
          {node.agentVersion ?? "–"}
        </td>
        <td data-label="last seen">
          {node.lastSeenMs === null ? "never" : formatAge(node.lastSeenMs)}
        </td>
      </tr>
    ))}
  </Rows>
);

/** The share of a node's slots that are taken. */
export function SlotBar({ node: { slots, running, offered } }: { node: Node }) {
  const taken = running + offered;
  return (
    <span className="slot-bar">
      <meter min={0} max={Math.max(slots, 1)} value={taken} aria-label="Slots taken" />
      <span className="number">
        {taken}/{slots}
      </span>
    </span>
  );
}
