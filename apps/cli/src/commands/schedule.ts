import type { Cli, Program } from "../cli.ts";
import { ago, inColour } from "../output/text.ts";
import { definePausing } from "./pausing.ts";
import { started } from "./run.ts";

/** `schedule`: what starts by itself, and when. */
export function defineSchedule(program: Program, cli: Cli): void {
  const schedule = program.command("schedule").description("what starts by itself, and when");
  schedule
    .command("ls")
    .description("list schedules with their next and last times")
    .action(async () => {
      const { data } = await cli.hub().client.listSchedules();
      if (cli.json) return cli.printJson({ schedules: data });
      if (data.length === 0) return cli.note("no workflow has a schedule");
      cli.table(
        ["SCHEDULE", "WORKFLOW", "STARTS AT", "NEXT", "LAST", ""],
        data.map(({ id, workflow, expression, timeZone, nextAt, lastSlot, paused, removedAt }) => [
          id,
          workflow,
          `${expression} (${timeZone})`,
          ago(nextAt),
          lastSlot ? `${lastSlot.decision} ${ago(lastSlot.at)}` : "never",
          removedAt ? "removed" : inColour(paused ? "paused" : ""),
        ]),
      );
    });
  schedule
    .command("trigger")
    .description("start a run of it now")
    .argument("<schedule>")
    .option("--allow-unsatisfiable", "let it wait even if no known node could run it")
    .option("--wait", "wait for its end, and end as it does")
    .option("-f, --follow", "the same, with the output of its steps")
    .option("--timeout <duration>", "how long to wait, such as 10m")
    .action(async (id, { allowUnsatisfiable, ...options }) => {
      const body = allowUnsatisfiable ? { allowUnsatisfiable } : {};
      await started(cli, await cli.hub().client.triggerSchedule(id, body), options);
    });
  definePausing(cli, schedule, {
    noun: "schedule",
    pauses: "start nothing until it is resumed",
    resumes: "start runs at its times again",
    pause: (id, body) => cli.hub().client.pauseSchedule(id, body),
    resume: (id) => cli.hub().client.resumeSchedule(id),
  });
}
