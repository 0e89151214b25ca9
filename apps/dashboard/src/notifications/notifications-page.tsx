import type { ChangedHook, Hook } from "@loom/client";
import { useState } from "react";
import { NotAllowed, useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { CopyLine } from "../parts/copy-line.tsx";
import { StateBadge } from "../parts/marks.tsx";
import { Loaded, Notice, NotOffered } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { HookForm } from "./hook-form.tsx";

/** How often the state of messages is read: no event says that one has arrived. */
const EVERY_MS = 5_000;

/** Who is notified of what, and a form that adds a hook. */
export function NotificationsPage() {
  return (
    <>
      <h1>Notifications</h1>
      {useHasScope("operate") ? <Hooks /> : <NotAllowed scope="operate" />}
    </>
  );
}

function Hooks() {
  const hooks = useHub("hooks", (call) => hub.listHooks(call), undefined, { everyMs: EVERY_MS });
  const [made, setMade] = useState<ChangedHook>();
  const isAdmin = useHasScope("admin");
  const onMade = (hook: ChangedHook) => {
    setMade(hook);
    hooks.reload();
  };
  return (
    <>
      <section className="card" aria-labelledby="hooks">
        <h2 id="hooks">Hooks</h2>
        <Loaded query={hooks} missing={<NotOffered />}>
          {({ data }) =>
            data.length === 0 ? (
              <Notice title="Nobody is notified">
                <p>A hook sends a message when a run fails, a machine is lost or a step waits.</p>
              </Notice>
            ) : (
              <Rows heads={["State", "Hook", "When", "To", "Last", "Actions"]}>
                {data.map((hook) => (
                  <HookRow key={hook.name} hook={hook} onChange={hooks.reload} />
                ))}
              </Rows>
            )
          }
        </Loaded>
      </section>
      {isAdmin && (
        <section className="card" aria-labelledby="add-hook">
          <h2 id="add-hook">Add a hook</h2>
          {made?.secret === undefined ? (
            <HookForm onMade={onMade} />
          ) : (
            <section className="cause cause-good" aria-label={`The secret of ${made.name}`}>
              <p>
                <b>{made.name}</b> signs its messages with this secret. Copy it now: it is not shown
                again.
              </p>
              <CopyLine text={made.secret} label="the secret" />
              <button type="button" onClick={() => setMade(undefined)}>
                I have it
              </button>
            </section>
          )}
        </section>
      )}
    </>
  );
}

function HookRow({ hook, onChange }: { hook: Hook; onChange: () => void }) {
  const { name, rules, workflows, target, enabled, pending, lastDelivery } = hook;
  const isAdmin = useHasScope("admin");
  return (
    <tr>
      <td>
        <StateBadge state={enabled ? "active" : "paused"} word={enabled ? "enabled" : "disabled"} />
      </td>
      <td>
        <Link href={to("notifications", name)} className="strong">
          {name}
        </Link>
      </td>
      <td data-label="when">
        {rules.join(", ") || "as workflows say"}
        {workflows.length > 0 && <span className="muted"> of {workflows.join(", ")}</span>}
      </td>
      <td data-label="to">
        {target.kind} <span className="muted">{target.to?.join(", ") ?? target.address}</span>
      </td>
      <td data-label="last">
        {lastDelivery ? (
          <>
            <StateBadge {...badgeOf(lastDelivery)} /> <Ago at={lastDelivery.createdAt} />
            {pending > 1 && <span className="muted"> · {pending} to send</span>}
          </>
        ) : (
          "nothing yet"
        )}
      </td>
      <td>
        <ActionButton label={`Test ${name}`} action={() => hub.testHook(name).then(onChange)}>
          Test
        </ActionButton>{" "}
        {isAdmin && (
          <>
            <ActionButton
              label={`${enabled ? "Disable" : "Enable"} ${name}`}
              action={() => hub.changeHook(name, { enabled: !enabled }).then(onChange)}
            >
              {enabled ? "Disable" : "Enable"}
            </ActionButton>{" "}
            <ActionButton
              kind="danger"
              label={`Remove ${name}`}
              confirm={`Remove ${name} and the list of its messages?`}
              action={() => hub.removeHook(name).then(onChange)}
            >
              Remove
            </ActionButton>
          </>
        )}
      </td>
    </tr>
  );
}

/** The state of a message as a badge: one that failed once and is tried again is not simply pending. */
export const badgeOf = ({
  state,
  error,
}: NonNullable<Hook["lastDelivery"]>): { state: string; word: string } =>
  state === "delivered"
    ? { state: "succeeded", word: "delivered" }
    : state === "failed"
      ? { state: "failed", word: "given up" }
      : error === null
        ? { state: "pending", word: "to send" }
        : { state: "warn", word: "failed, is tried again" };
