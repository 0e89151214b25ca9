import type { Schedule } from "@loom/hub/client";
import { hub } from "../hub.ts";
import { ActButton } from "../parts/act-button.tsx";
import { Answer, Notice } from "../parts/notice.tsx";
import { Rows } from "../parts/rows.tsx";
import { StateBadge } from "../parts/state-badge.tsx";
import { Ago } from "../parts/time.tsx";
import { Link, navigate, to } from "../router.tsx";
import { useMay } from "../session-context.tsx";
import { useHub } from "../use-hub.ts";

/** Which workflows start by themselves, when they do next, and what became of the last time. */
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
      <Answer asked={schedules} missing={missing}>
        {({ data }) =>
          data.length === 0 ? (
            <Notice title="No workflow has a schedule">
              <p>A workflow's author gives it one:</p>
              <pre>{'schedule: cron("0 4 * * *", { timeZone: "Europe/Paris" })'}</pre>
            </Notice>
          ) : (
            <Rows heads={["State", "Schedule", "When", "Next", "Last", "Acts"]}>
              {data.map((schedule) => (
                <ScheduleRow key={schedule.id} schedule={schedule} onChange={schedules.reload} />
              ))}
            </Rows>
          )
        }
      </Answer>
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
              <Link href={to("runs", lastSlot.runId)}>{lastSlot.outcome}</Link>
            ) : (
              lastSlot.outcome
            )}{" "}
            <Ago at={lastSlot.at} />
            {lastSlot.reason && `: ${lastSlot.reason}`}
          </>
        ) : (
          "never"
        )}
      </td>
      <td>
        <ScheduleActs schedule={schedule} onChange={onChange} />
      </td>
    </tr>
  );
}

function ScheduleActs({ schedule, onChange }: { schedule: Schedule; onChange: () => void }) {
  const { id, paused } = schedule;
  const mayRun = useMay("run");
  const mayOperate = useMay("operate");
  const runNow = async () => {
    const { runId } = await hub.triggerSchedule(id);
    navigate(to("runs", runId));
  };
  return (
    <div className="row">
      {mayRun && <ActButton act={runNow}>Run now</ActButton>}
      {mayOperate &&
        (paused ? (
          <ActButton act={() => hub.resumeSchedule(id).then(onChange)}>Resume</ActButton>
        ) : (
          <ActButton
            act={() => hub.pauseSchedule(id).then(onChange)}
            confirm={`Pause ${id}? It starts nothing until it is resumed; what runs goes on.`}
          >
            Pause
          </ActButton>
        ))}
    </div>
  );
}
