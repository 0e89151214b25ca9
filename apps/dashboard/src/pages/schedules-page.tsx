import { hub } from "../hub.ts";
import { Answer, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { StateBadge } from "../parts/state-badge.tsx";
import { Link, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** Which workflows start by themselves, and when. */
export function SchedulesPage() {
  const strands = useHub(
    "strands",
    (call) => hub.listStrands(call),
    ({ type }) => type.startsWith("workflow."),
  );
  return (
    <>
      <h1>Schedules</h1>
      <Answer asked={strands}>
        {({ data }) => {
          const scheduled = data.filter(({ schedule }) => schedule !== null);
          if (scheduled.length === 0) {
            return (
              <Notice title="No workflow has a schedule">
                <p>A workflow's author gives it one:</p>
                <pre>{'schedule: cron("0 4 * * *", { timeZone: "Europe/Paris" })'}</pre>
              </Notice>
            );
          }
          return (
            <Rows heads={["Workflow", "When", "Time zone", "State"]}>
              {scheduled.map(({ name, schedule, paused }) => (
                <tr key={name}>
                  <td>
                    <Link href={to("workflows", name)} className="strong">
                      {name}
                    </Link>
                  </td>
                  <td data-label="when">
                    <code>{schedule?.expression}</code>
                  </td>
                  <td data-label="time zone">{schedule?.timeZone}</td>
                  <td>{paused ? <StateBadge state="paused" /> : "active"}</td>
                </tr>
              ))}
            </Rows>
          );
        }}
      </Answer>
    </>
  );
}
