import type { Schedule } from "@loom/client";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { ActionButton } from "../parts/action-button.tsx";
import { StateBadge } from "../parts/marks.tsx";
import { Loaded, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { Ago } from "../parts/time.tsx";
import { Link, navigate, to } from "../router.tsx";
import { useHub } from "../use-hub.ts";

/** The schedules: when each fires next, and the decision about its last slot. */
export function SchedulesPage() {
  const schedules = useHub(
    "schedules",
    (call) => hub.listSchedules(call),
    ({ type }) => type.startsWith("run.") || type.startsWith("schedule."),
  );
  const missing = (
    <Notice title="This hub does not offer schedules">
      <p>A newer hub does; the rest of this page works with both.</p>
    </Notice>
  );
  return (
    <>
      <h1>Schedules</h1>
      <Loaded query={schedules} missing={missing}>
        {({ data }) =>
          data.length === 0 ? (
            <Notice title="No workflow has a schedule">
              <p>A workflow's author gives it one:</p>
              <pre>{'schedule: cron("0 4 * * *", { timeZone: "Europe/Paris" })'}</pre>
            </Notice>
          ) : (
            <Rows heads={["State", "Schedule", "When", "Next", "Last", "Actions"]}>
              {data.map((schedule) => (
                <ScheduleRow key={schedule.id} schedule={schedule} onChange={schedules.reload} />
              ))}
            </Rows>
          )
        }
      </Loaded>
    </>
  );
}

function ScheduleRow({ schedule, onChange }: { schedule: Schedule; onChange: () => void }) {
  const { id, workflow, expression, timeZone, paused, removedAt, nextAt, lastSlot } = schedule;
  return (
    <tr>
      <td>{removedAt ? "removed" : <StateBadge state={paused ? "paused" : "active"} />}</td>
      <td>
        <Link href={to("workflows", workflow)} className="strong">
          {id}
        </Link>
      </td>
      <td data-label="when">
        <code>{expression}</code> <span className="muted">{timeZone}</span>
      </td>
      <td data-label="next">
        {nextAt ? <time dateTime={nextAt}>{new Date(nextAt).toLocaleString()}</time> : "–"}
      </td>
      <td data-label="last">
        {lastSlot ? (
          <>
            {lastSlot.runId ? (
              <Link href={to("runs", lastSlot.runId)}>{lastSlot.decision}</Link>
            ) : (
              lastSlot.decision
            )}{" "}
            <Ago at={lastSlot.at} />
            {lastSlot.reason && `: ${lastSlot.reason}`}
          </>
        ) : (
          "never"
        )}
      </td>
      <td>
        <ScheduleActions schedule={schedule} onChange={onChange} />
      </td>
    </tr>
  );
}

function ScheduleActions({ schedule, onChange }: { schedule: Schedule; onChange: () => void }) {
  const { id, paused } = schedule;
  const mayRun = useHasScope("run");
  const mayOperate = useHasScope("operate");
  const runNow = async () => {
    const { runId } = await hub.triggerSchedule(id);
    navigate(to("runs", runId));
  };
  return (
    <div className="row">
      {mayRun && <ActionButton action={runNow}>Run now</ActionButton>}
      {mayOperate &&
        (paused ? (
          <ActionButton action={() => hub.resumeSchedule(id).then(onChange)}>Resume</ActionButton>
        ) : (
          <ActionButton
            action={() => hub.pauseSchedule(id).then(onChange)}
            confirm={`Pause ${id}? It starts nothing until it is resumed. Running runs continue.`}
          >
            Pause
          </ActionButton>
        ))}
    </div>
  );
}
