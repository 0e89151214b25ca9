import type { NewJoinToken } from "@loom/client";
import { useState } from "react";
import { NotAllowed, useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { formatClock } from "../parts/moment.ts";
import { Rows } from "../parts/rows.tsx";
import { useNow } from "../parts/time.tsx";
import { Link } from "../router.tsx";
import { type HubQuery, useHub } from "../use-hub.ts";
import { JoinForm } from "./join-form.tsx";
import { Joining, type JoinTokens } from "./joining.tsx";

/** The polling interval, because the page may miss the event of a join. */
const READ_EVERY_MS = 5_000;

/** Makes the line that a machine joins with, and shows the machine's progress. */
export function AddMachinePage() {
  return (
    <>
      <h1>Add a machine</h1>
      {useHasScope("admin") ? <AddMachine /> : <NotAllowed scope="admin" />}
    </>
  );
}

function AddMachine() {
  const [made, setMade] = useState<NewJoinToken>();
  const tokens = useHub(
    "join tokens",
    (call) => hub.listJoinTokens(call),
    ({ type }) => type === "node.joined",
    { everyMs: READ_EVERY_MS },
  );
  const onMade = (token: NewJoinToken) => {
    setMade(token);
    tokens.reload();
  };
  return (
    <>
      {made ? (
        <Joining
          key={made.id}
          made={made}
          tokens={tokens.data?.data ?? []}
          onMade={onMade}
          onDone={() => setMade(undefined)}
        />
      ) : (
        <section className="card" aria-labelledby="join-form">
          <h2 id="join-form">Which machine joins?</h2>
          <p className="muted">
            The hub makes one line. Paste it into a terminal of the machine. It installs the agent,
            asks for no password, and works for one machine and 15 minutes.
          </p>
          <JoinForm onMade={onMade} />
        </section>
      )}
      <OpenTokens tokens={tokens} except={made?.id} />
    </>
  );
}

/** Lists lines that were made and not used yet. */
function OpenTokens({
  tokens,
  except,
}: {
  tokens: HubQuery<{ data: JoinTokens }>;
  except: string | undefined;
}) {
  const now = useNow();
  const open = (tokens.data?.data ?? []).filter(
    ({ id, usesLeft, revokedAt, expiresAt }) =>
      id !== except && usesLeft > 0 && revokedAt === null && Date.parse(expiresAt) > now,
  );
  if (open.length === 0) return null;
  return (
    <section className="card" aria-labelledby="open-lines">
      <h2 id="open-lines">Lines that still work</h2>
      <p className="muted">A line is shown once. Anybody who has one of these can still use it.</p>
      <Rows heads={["For", "Made by", "Until", "May offer", "State"]}>
        {open.map((token) => (
          <tr key={token.id}>
            <td className="strong">{token.node ?? "any name"}</td>
            <td data-label="made by">{token.createdBy}</td>
            <td data-label="until">{formatClock(token.expiresAt)}</td>
            <td data-label="may offer">{token.mayOffer.join(", ") || "what is measured"}</td>
            <td>
              <ActionButton
                kind="danger"
                label={`Revoke the line for ${token.node ?? "any name"}`}
                action={() => hub.revokeJoinToken(token.id).then(tokens.reload)}
              >
                Revoke
              </ActionButton>
            </td>
          </tr>
        ))}
      </Rows>
      <p>
        <Link href="/nodes">All nodes</Link>
      </p>
    </section>
  );
}
