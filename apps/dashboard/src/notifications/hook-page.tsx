import type { Delivery } from "@loom/client";
import { NotAllowed, useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { StateBadge } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago } from "../parts/time.tsx";
import { Link } from "../router.tsx";
import { useHub } from "../use-hub.ts";
import { badgeOf } from "./notifications-page.tsx";

/** How often the list is read while it is open. */
const EVERY_MS = 3_000;

/** The messages of a hook, with what became of each. */
export function HookPage({ name }: { name: string }) {
  return (
    <>
      <h1>Messages of {name}</h1>
      <p>
        <Link href="/notifications">All hooks</Link>
      </p>
      {useHasScope("operate") ? <Deliveries name={name} /> : <NotAllowed scope="operate" />}
    </>
  );
}

function Deliveries({ name }: { name: string }) {
  const deliveries = useHub(
    `deliveries ${name}`,
    (call) => hub.listDeliveries(name, { limit: 50 }, call),
    undefined,
    { everyMs: EVERY_MS },
  );
  const missing = <Notice title="There is no such hook" />;
  return (
    <>
      <div className="row">
        <ActionButton kind="main" action={() => hub.testHook(name).then(deliveries.reload)}>
          Send a test message
        </ActionButton>
      </div>
      <Loaded query={deliveries} missing={missing}>
        {({ data }) =>
          data.length === 0 ? (
            <p className="muted">It has sent nothing yet.</p>
          ) : (
            <Rows heads={["State", "Message", "When", "Answer", "Actions"]}>
              {data.map((delivery) => (
                <DeliveryRow key={delivery.id} delivery={delivery} onChange={deliveries.reload} />
              ))}
            </Rows>
          )
        }
      </Loaded>
    </>
  );
}

function DeliveryRow({ delivery, onChange }: { delivery: Delivery; onChange: () => void }) {
  const { id, hook, title, text, state, attempts, createdAt, nextAt } = delivery;
  const { status, tookMs, answer, error } = delivery;
  return (
    <tr>
      <td>
        <StateBadge {...badgeOf(delivery)} />
      </td>
      <td data-label="message">
        <span className="strong">{title}</span> <span className="muted">{text}</span>
      </td>
      <td data-label="when">
        <Ago at={createdAt} />
      </td>
      <td data-label="answer">
        {error ?? answer ?? "–"}
        <span className="muted">
          {status !== null && ` · status ${status}`}
          {tookMs !== null && ` · ${tookMs} ms`}
          {attempts > 1 && ` · attempt ${attempts}`}
          {error !== null && nextAt !== null && ` · next ${new Date(nextAt).toLocaleTimeString()}`}
        </span>
      </td>
      <td>
        {state !== "pending" && (
          <ActionButton
            label={`Send ${title} again`}
            action={() => hub.redeliver(hook, id).then(onChange)}
          >
            Send again
          </ActionButton>
        )}
      </td>
    </tr>
  );
}
