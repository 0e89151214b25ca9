import { describeItems, type Item, type Page, type Run } from "@loom/client";
import { useState } from "react";
import { hub } from "../hub.ts";
import { StateBadge } from "../parts/marks.tsx";
import { Loaded } from "../parts/notice.tsx";
import { toPrintable } from "../parts/printable.ts";
import { Rows } from "../parts/rows.tsx";
import { Took } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

type Step = Run["steps"][number];
type Shown = "all" | "failed";

/** The items of a step that maps over a list, page by page; at first those that failed, if there are any. */
export function RunItems({ runId, step }: { runId: string; step: Step }) {
  const { id, items } = step;
  const [chosen, setChosen] = useState<Shown>();
  const shown = chosen ?? (items && items.failed > 0 ? "failed" : "all");
  const query = shown === "failed" ? { state: "failed" as const } : {};
  const first = useHub(
    `items ${id} ${shown}`,
    (call) => hub.listItems(id, query, call),
    (event) => event.runId === runId,
    // A step may have thousands of items, each with its events.
    { apartMs: 2_000 },
  );
  if (!items) return null;
  return (
    <section className="card" aria-label={`Items of ${step.step}`}>
      <h2>
        {step.step} <span className="muted number">{describeItems(items)}</span>
      </h2>
      <label className="row">
        Items
        <select value={shown} onChange={({ target }) => setChosen(target.value as Shown)}>
          <option value="all">all</option>
          <option value="failed">that failed</option>
        </select>
      </label>
      <Loaded query={first}>
        {(page) => (
          <ItemTable
            key={shown}
            first={page}
            more={(cursor) => hub.listItems(id, { ...query, cursor })}
            hrefOf={(item) => `${to("runs", runId)}?tab=logs&job=${item}`}
          />
        )}
      </Loaded>
    </section>
  );
}

/** The first items, kept up to date, and further ones on request. */
function ItemTable({
  first,
  more,
  hrefOf,
}: {
  first: Page<Item>;
  more: (cursor: string) => Promise<Page<Item>>;
  hrefOf: (item: number) => string;
}) {
  const [further, setFurther] = useState<readonly Item[]>([]);
  const [next, setNext] = useState<string | null>();
  const cursor = next === undefined ? first.next : next;
  const known = new Set(first.data.map(({ id }) => id));
  const items = [...first.data, ...further.filter(({ id }) => !known.has(id))];
  if (items.length === 0) return <p className="muted">There are none.</p>;

  const readOn = async () => {
    if (cursor === null) return;
    const page = await more(cursor);
    setFurther((before) => [...before, ...page.data]);
    setNext(page.next);
  };
  return (
    <>
      <Rows heads={["Item", "State", "Node", "Took", "Output", "Why"]}>
        {items.map(({ id, key, state, host, startedAt, finishedAt, error, waitingReason }) => (
          <tr key={id}>
            <td data-label="item">{toPrintable(key)}</td>
            <td data-label="state">
              <StateBadge state={state} />
            </td>
            <td data-label="node">{host && <Link href={to("nodes", host)}>{host}</Link>}</td>
            <td data-label="took" className="number">
              {startedAt && <Took from={startedAt} until={finishedAt} />}
            </td>
            <td data-label="output">
              <Link href={hrefOf(id)} aria-label={`Output of ${key}`}>
                output
              </Link>
            </td>
            <td data-label="why">{toPrintable(error?.message ?? waitingReason?.summary ?? "")}</td>
          </tr>
        ))}
      </Rows>
      {cursor !== null && (
        <button type="button" onClick={() => void readOn()}>
          Further items
        </button>
      )}
    </>
  );
}
