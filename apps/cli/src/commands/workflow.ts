import type { StrandSummary } from "@loom/client";
import type { Cli, Program } from "../cli.ts";
import { ago, span } from "../output/text.ts";
import { definePausing } from "./pausing.ts";

/** `workflow`: which there are, and pausing them. */
export function defineWorkflow(program: Program, cli: Cli): void {
  const workflow = program.command("workflow").description("the workflows that the hub knows");
  workflow
    .command("ls")
    .description("list them")
    .action(async () => {
      const { data, problems, loading } = await cli.hub().client.listStrands();
      if (cli.json) return cli.printJson({ workflows: data, problems, loading });
      cli.table(
        ["WORKFLOW", "STEPS", "STARTS AT", "KEEPS", ""],
        data.map(({ name, steps, schedule, retention, paused }) => [
          name,
          steps.map(({ name: step }) => step).join(", "),
          schedule ? `${schedule.expression} (${schedule.timeZone})` : "",
          kept(retention),
          paused ? { text: `paused ${ago(paused.since)}`, colour: "yellow" } : "",
        ]),
      );
      if (problems.length > 0) cli.note(`\n${problems.length} files cannot be used: loom check`);
    });
  definePausing(cli, workflow, {
    noun: "workflow",
    pauses: "place and start none of its steps until it is resumed",
    resumes: "go on with its steps",
    pause: (name, body) => cli.hub().client.pauseStrand(name, body),
    resume: (name) => cli.hub().client.resumeStrand(name),
  });
}

/** How long finished runs are kept: `30d`, or `3d, failed 90d`. */
const kept = ({ succeededMs, failedMs }: StrandSummary["retention"]): string =>
  succeededMs === failedMs ? span(failedMs) : `${span(succeededMs)}, failed ${span(failedMs)}`;
