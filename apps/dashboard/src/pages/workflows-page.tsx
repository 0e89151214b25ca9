import { hub } from "../hub.ts";
import { Answer, Notice } from "../parts/notice.tsx";
import { StateBadge } from "../parts/state-badge.tsx";
import { Tags } from "../parts/tags.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** Every workflow that the hub knows. */
export function WorkflowsPage() {
  const strands = useHub(
    "strands",
    (call) => hub.listStrands(call),
    ({ type }) => type.startsWith("workflow."),
  );
  return (
    <>
      <h1>Workflows</h1>
      <Answer asked={strands}>
        {({ data }) =>
          data.length === 0 ? (
            <Notice title="The hub knows no workflow">
              <p>
                Put one into a folder and name the folder to the hub by{" "}
                <code>LOOM_WORKFLOWS_DIR</code>.
              </p>
            </Notice>
          ) : (
            <ul className="cards">
              {data.map(({ name, steps, requires, schedule, paused }) => (
                <li key={name} className="card">
                  <h2>
                    <Link href={to("workflows", name)}>{name}</Link>
                  </h2>
                  {paused && <StateBadge state="paused" />}
                  <p className="muted">{steps.join(" → ")}</p>
                  <p>
                    <Tags tags={requires} />
                  </p>
                  {schedule && (
                    <p>
                      <code>{schedule.expression}</code>{" "}
                      <span className="muted">{schedule.timeZone}</span>
                    </p>
                  )}
                </li>
              ))}
            </ul>
          )
        }
      </Answer>
    </>
  );
}
