import type { NewToken, Scope } from "@loom/client";
import { useState } from "react";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { CopyLine } from "../parts/copy-line.tsx";
import { FormEnd, FormError, useSubmit } from "../parts/form-end.tsx";
import { Loaded, NotOffered } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago } from "../parts/time.tsx";
import { useHub } from "../use-hub.ts";

/** The API's tokens, and a form that makes one. */
export function Tokens() {
  const tokens = useHub("tokens", (call) => hub.listTokens(call));
  const [made, setMade] = useState<NewToken>();
  const onMade = (token: NewToken) => {
    setMade(token);
    tokens.reload();
  };
  return (
    <>
      {made ? (
        <NewSecret token={made} onDone={() => setMade(undefined)} />
      ) : (
        <TokenForm onMade={onMade} />
      )}
      <Loaded query={tokens} missing={<NotOffered />}>
        {({ data }) =>
          data.length === 0 ? (
            <p className="muted">There is only the token that the hub was started with.</p>
          ) : (
            <Rows heads={["Token", "Scopes", "Last used", "Ends", "State"]}>
              {data.map((token) => (
                <tr key={token.id}>
                  <td className="strong">{token.name}</td>
                  <td data-label="scopes">{token.scopes.join(", ")}</td>
                  <td data-label="last used">
                    {token.lastUsedAt ? <Ago at={token.lastUsedAt} /> : "never"}
                  </td>
                  <td data-label="ends">
                    {token.expiresAt ? (
                      <time dateTime={token.expiresAt}>
                        {new Date(token.expiresAt).toLocaleDateString()}
                      </time>
                    ) : (
                      "never"
                    )}
                  </td>
                  <td>
                    {token.revokedAt ? (
                      "revoked"
                    ) : (
                      <ActionButton
                        kind="danger"
                        label={`Revoke ${token.name}`}
                        confirm={`Revoke ${token.name}? Programs that use it lose access.`}
                        action={() => hub.revokeToken(token.id).then(tokens.reload)}
                      >
                        Revoke
                      </ActionButton>
                    )}
                  </td>
                </tr>
              ))}
            </Rows>
          )
        }
      </Loaded>
    </>
  );
}

/** What a token may do. Only `admin` includes other scopes. */
const ACCESS: readonly { name: string; scopes: Scope[]; may: string }[] = [
  { name: "read", scopes: ["read"], may: "read: see everything" },
  { name: "run", scopes: ["read", "run"], may: "run: also start and cancel runs" },
  {
    name: "exec",
    scopes: ["read", "run", "exec"],
    may: "run and exec: also run any command",
  },
  {
    name: "operate",
    scopes: ["read", "run", "operate"],
    may: "run and operate: also pause nodes and workflows",
  },
  { name: "admin", scopes: ["admin"], may: "admin: all of this, make tokens and add machines" },
];
const LIFETIMES = [
  { days: 30, name: "30 days" },
  { days: 90, name: "90 days" },
  { days: 365, name: "a year" },
  { days: 0, name: "never" },
] as const;

function TokenForm({ onMade }: { onMade: (token: NewToken) => void }) {
  const submission = useSubmit(async (data) => {
    const name = String(data.get("name") ?? "").trim();
    const scopes = ACCESS.find((one) => one.name === data.get("access"))?.scopes ?? ["read"];
    const days = Number(data.get("days"));
    if (name === "") throw new FormError("Say what the token is for.");
    onMade(await hub.createToken({ name, scopes, ...(days > 0 && { expiresInDays: days }) }));
  });

  return (
    <form className="inline-form" onSubmit={submission.onSubmit}>
      <label>
        <span>Name</span>
        <input name="name" maxLength={100} placeholder="ci" spellCheck={false} autoComplete="off" />
      </label>
      <label>
        <span>May</span>
        <select name="access" defaultValue="run">
          {ACCESS.map(({ name, may }) => (
            <option key={name} value={name}>
              {may}
            </option>
          ))}
        </select>
      </label>
      <label>
        <span>Ends after</span>
        <select name="days" defaultValue="90">
          {LIFETIMES.map(({ days, name }) => (
            <option key={days} value={days}>
              {name}
            </option>
          ))}
        </select>
      </label>
      <FormEnd name="Make a token" submission={submission} />
    </form>
  );
}

/** The secret of a token that was just made. It is shown here and nowhere else. */
function NewSecret({ token, onDone }: { token: NewToken; onDone: () => void }) {
  return (
    <section className="cause cause-good" aria-label={`The token ${token.name}`}>
      <p>
        <b>{token.name}</b> is made. Copy it now: it is not shown again.
      </p>
      <CopyLine text={token.token} label="the token" />
      <button type="button" onClick={onDone}>
        I have it
      </button>
    </section>
  );
}
