import type { Node } from "@loom/hub/client";
import { hub } from "../hub.ts";
import { Answer, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { sayAge } from "../parts/say-time.ts";
import { SlotBar } from "../parts/slot-bar.tsx";
import { StateBadge } from "../parts/state-badge.tsx";
import { Tags } from "../parts/tags.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** How a node is, in one word. */
export const conditionOf = ({ online, status }: Node): string =>
  !online ? "offline" : status === "active" ? "online" : status;

/** Every machine that has joined. */
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
        <Link href="/mesh">The ways between them</Link>
      </div>
      <Answer asked={nodes}>
        {({ data }) =>
          data.length === 0 ? (
            <Notice title="No machine has joined yet">
              <p>Start an agent on one of your machines, and it appears here:</p>
              <pre>npm run agent</pre>
            </Notice>
          ) : (
            <NodeTable nodes={data} />
          )
        }
      </Answer>
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
          {node.lastSeenMs === null ? "never" : sayAge(node.lastSeenMs)}
        </td>
      </tr>
    ))}
  </Rows>
);
