import { describeSize, type Run } from "@loom/client";
import { hub } from "../hub.ts";
import { Loaded } from "../parts/notice.tsx";
import { toPrintable } from "../parts/printable.ts";
import { Rows } from "../parts/rows.tsx";
import { Ago } from "../parts/time.tsx";
import { useHub } from "../use-hub.ts";

/** The files that the run has, to download. */
export function RunFiles({ run }: { run: Run }) {
  const files = useHub(
    `files ${run.id}`,
    (call) => hub.listRunFiles(run.id, call),
    (event) => event.runId === run.id,
  );
  return (
    <Loaded query={files}>
      {({ data }) =>
        data.length === 0 ? (
          <p className="muted">
            The run has no files. A step stores one with <code>ctx.files.put</code>.
          </p>
        ) : (
          <Rows heads={["file", "size", "step", "stored", "sha-256"]}>
            {data.map(({ name, size, step, createdAt, sha256 }) => (
              <tr key={`${sha256} ${name}`}>
                <td data-label="file">
                  <a href={`/api/loom/runs/${run.id}/files/${sha256}`} download>
                    {toPrintable(name)}
                  </a>
                </td>
                <td data-label="size">{describeSize(size)}</td>
                <td data-label="step">{step ?? "input"}</td>
                <td data-label="stored">
                  <Ago at={createdAt} />
                </td>
                <td data-label="sha-256" className="mono" title={sha256}>
                  {sha256.slice(0, 12)}
                </td>
              </tr>
            ))}
          </Rows>
        )
      }
    </Loaded>
  );
}
