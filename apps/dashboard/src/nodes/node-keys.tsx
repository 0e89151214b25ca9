import type { Node, NodeKey } from "@loom/client";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { Loaded } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago } from "../parts/time.tsx";
import { navigate } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** The name of a capability, without its value: what a key allows. */
const nameOf = (capability: string): string => capability.split("=", 1)[0] ?? capability;

/** Lists the names that a node declares and may not offer yet, with a button for each. */
export function AskedOffers({
  node: { name, askedCapabilities },
  onChange,
}: {
  node: Node;
  onChange: () => void;
}) {
  const mayAllow = useHasScope("admin");
  const names = [...new Set(askedCapabilities.map(nameOf))];
  if (names.length === 0) return null;
  return (
    <div className="cause cause-waiting">
      <p>
        {name} asks to offer {askedCapabilities.join(", ")}.{" "}
        {mayAllow
          ? "Steps that need it may then run there."
          : "Somebody with the scope admin can allow it."}
      </p>
      {mayAllow && (
        <div className="row">
          {names.map((asked) => (
            <ActionButton
              key={asked}
              kind="main"
              action={() => hub.allowOffers(name, { names: [asked] }).then(onChange)}
            >
              Allow {asked}
            </ActionButton>
          ))}
        </div>
      )}
    </div>
  );
}

/** Revokes a node's keys and removes the node. */
export function RemoveNode({ node: { name, running, online } }: { node: Node }) {
  if (!useHasScope("admin")) return null;
  const isBusy = online && running > 0;
  return (
    <ActionButton
      kind="danger"
      action={() => hub.removeNode(name, { force: isBusy }).then(() => navigate("/nodes"))}
      confirm={
        isBusy
          ? `Remove ${name}? The ${running} it runs are stopped and go to other nodes. To come back, the machine has to join again.`
          : `Remove ${name}? To come back, the machine has to join again.`
      }
    >
      Remove node
    </ActionButton>
  );
}

/** The keys with which the machine may act for the node. */
export function NodeKeys({ name }: { name: string }) {
  const keys = useHub(
    `keys of ${name}`,
    (call) => hub.listNodeKeys(name, call),
    (event) => event.node === name && /^node\.(joined|key_revoked|offers_)/.test(event.type),
  );
  return (
    <>
      <h2>Keys</h2>
      <Loaded query={keys}>
        {({ data }) =>
          data.length === 0 ? (
            <p className="muted">
              It has no key of its own: it uses the service key of the project, or is the hub's own
              node.
            </p>
          ) : (
            <Rows heads={["Key", "May offer", "Made", "Last used", "Expires", "State"]}>
              {data.map((key) => (
                <KeyRow key={key.id} nodeKey={key} onChange={keys.reload} />
              ))}
            </Rows>
          )
        }
      </Loaded>
    </>
  );
}

function KeyRow({ nodeKey, onChange }: { nodeKey: NodeKey; onChange: () => void }) {
  const mayRevoke = useHasScope("admin");
  return (
    <tr>
      <td className="mono">{nodeKey.id.slice(0, 8)}</td>
      <td data-label="may offer">{nodeKey.mayOffer.join(", ") || "what is measured"}</td>
      <td data-label="made">
        <Ago at={nodeKey.createdAt} /> by {nodeKey.createdBy}
      </td>
      <td data-label="last used">
        {nodeKey.lastUsedAt ? <Ago at={nodeKey.lastUsedAt} /> : "never"}
      </td>
      <td data-label="expires">{nodeKey.expiresAt ?? "never"}</td>
      <td>
        {nodeKey.revokedAt ? (
          "revoked"
        ) : !nodeKey.valid ? (
          "expired"
        ) : mayRevoke ? (
          <ActionButton
            kind="danger"
            confirm={`Revoke this key of ${nodeKey.node}? Its agent ends, and its work goes back at once.`}
            action={() => hub.revokeNodeKey(nodeKey.node, nodeKey.id).then(onChange)}
          >
            Revoke
          </ActionButton>
        ) : (
          "valid"
        )}
      </td>
    </tr>
  );
}
