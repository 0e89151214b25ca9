import { hub } from "../hub.ts";
import { ActButton } from "../parts/act-button.tsx";
import { Answer, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago } from "../parts/time.tsx";
import { useMay, useSession } from "../session-context.tsx";
import { useHub } from "../use-hub.ts";

/** Who is logged in, which tokens there are, who changed what. */
export function SettingsPage() {
  const session = useSession();
  return (
    <>
      <h1>Settings</h1>
      <section className="card" aria-labelledby="you">
        <h2 id="you">You</h2>
        <p>
          {session.who}, with the scopes <code>{session.scopes.join(", ")}</code>
          {session.expiresAt && `, until ${new Date(session.expiresAt).toLocaleString()}`}.
        </p>
        <div className="row">
          {session.expiresAt && (
            <ActButton act={() => hub.closeSession().then(session.logOut)}>Log out</ActButton>
          )}
          <a href="/docs">API reference</a>
          <a href="/openapi.json">openapi.json</a>
        </div>
      </section>
      <section className="card" aria-labelledby="tokens">
        <h2 id="tokens">Tokens</h2>
        {useMay("admin") ? <Tokens /> : <NotAllowed scope="admin" />}
      </section>
      <section className="card" aria-labelledby="audit">
        <h2 id="audit">Changes</h2>
        {useMay("operate") ? <Audit /> : <NotAllowed scope="operate" />}
      </section>
    </>
  );
}

const NotAllowed = ({ scope }: { scope: string }) => (
  <p className="muted">
    Seeing this takes the scope <code>{scope}</code>, which you do not have.
  </p>
);

function Tokens() {
  const tokens = useHub("tokens", (call) => hub.listTokens(call));
  return (
    <Answer asked={tokens} missing={<NotOffered />}>
      {({ data }) =>
        data.length === 0 ? (
          <p className="muted">Only the bootstrap token of the hub's environment.</p>
        ) : (
          <Rows heads={["Token", "Scopes", "Last used", "State"]}>
            {data.map((token) => (
              <tr key={token.id}>
                <td className="strong">{token.name}</td>
                <td data-label="scopes">{token.scopes.join(", ")}</td>
                <td data-label="last used">
                  {token.lastUsedAt ? <Ago at={token.lastUsedAt} /> : "never"}
                </td>
                <td>
                  {token.revokedAt ? (
                    "revoked"
                  ) : (
                    <ActButton
                      kind="danger"
                      confirm={`Revoke ${token.name}? Whoever uses it is locked out.`}
                      act={() => hub.revokeToken(token.id).then(tokens.reload)}
                    >
                      Revoke
                    </ActButton>
                  )}
                </td>
              </tr>
            ))}
          </Rows>
        )
      }
    </Answer>
  );
}

function Audit() {
  const audit = useHub("audit", (call) => hub.listAudit({ limit: 30 }, call));
  return (
    <Answer asked={audit} missing={<NotOffered />}>
      {({ data }) =>
        data.length === 0 ? (
          <p className="muted">Nothing was changed yet.</p>
        ) : (
          <Rows heads={["When", "Who", "What", "Of", "From"]}>
            {data.map((entry) => (
              <tr key={`${entry.at} ${entry.action} ${entry.subject} ${entry.id}`}>
                <td>
                  <Ago at={entry.at} />
                </td>
                <td data-label="who">{entry.who}</td>
                <td data-label="what" className="strong">
                  {entry.action}
                </td>
                <td data-label="of">{entry.subject ?? entry.id ?? "–"}</td>
                <td data-label="from" className="mono">
                  {entry.from ?? "–"}
                </td>
              </tr>
            ))}
          </Rows>
        )
      }
    </Answer>
  );
}

const NotOffered = () => (
  <Notice title="This hub does not offer it">
    <p>A newer hub does; the rest of this page works with both.</p>
  </Notice>
);
