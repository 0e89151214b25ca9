import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { Loaded, NotOffered } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago } from "../parts/time.tsx";
import { useHub } from "../use-hub.ts";
import { NotAllowed, useHasScope, useSession } from "./session.tsx";
import { Tokens } from "./tokens.tsx";

/** The session, the tokens and sessions there are, and the audit log. */
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
            <ActionButton action={() => hub.closeSession().then(session.logOut)}>
              Log out
            </ActionButton>
          )}
          <a href="/docs">API reference</a>
          <a href="/openapi.json">openapi.json</a>
        </div>
      </section>
      <section className="card" aria-labelledby="tokens">
        <h2 id="tokens">Tokens</h2>
        {useHasScope("admin") ? <Tokens /> : <NotAllowed scope="admin" />}
      </section>
      <section className="card" aria-labelledby="sessions">
        <h2 id="sessions">Sessions</h2>
        {useHasScope("admin") ? <Sessions /> : <NotAllowed scope="admin" />}
      </section>
      <section className="card" aria-labelledby="audit">
        <h2 id="audit">Changes</h2>
        {useHasScope("operate") ? <Audit /> : <NotAllowed scope="operate" />}
      </section>
    </>
  );
}

function Sessions() {
  const sessions = useHub("sessions", (call) => hub.listSessions(call));
  return (
    <Loaded query={sessions} missing={<NotOffered />}>
      {({ data }) =>
        data.length === 0 ? (
          <p className="muted">No browser is logged in.</p>
        ) : (
          <Rows heads={["Opened with", "Scopes", "Opened", "Last used", "State"]}>
            {data.map((session) => (
              <tr key={session.id}>
                <td className="strong">{session.token ?? "the hub's own token"}</td>
                <td data-label="scopes">{session.scopes.join(", ")}</td>
                <td data-label="opened">
                  <Ago at={session.createdAt} />
                </td>
                <td data-label="last used">
                  {session.lastUsedAt ? <Ago at={session.lastUsedAt} /> : "never"}
                </td>
                <td>
                  <ActionButton
                    kind="danger"
                    confirm="End this session? Its browser is logged out, and so are sessions that were opened with it."
                    action={() => hub.revokeToken(session.id).then(sessions.reload)}
                  >
                    End
                  </ActionButton>
                </td>
              </tr>
            ))}
          </Rows>
        )
      }
    </Loaded>
  );
}

function Audit() {
  const audit = useHub("audit", (call) => hub.listAudit({ limit: 30 }, call));
  return (
    <Loaded query={audit} missing={<NotOffered />}>
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
    </Loaded>
  );
}
