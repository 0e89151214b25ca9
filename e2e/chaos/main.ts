// npm run chaos -- [--minutes 3] [--seed S] [--jobs N]
import { parseArgs } from "node:util";
import { commandOf, formatReport } from "./report.ts";
import { type RoundOptions, runRound } from "./round.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "3" },
    seed: { type: "string", default: String(Date.now() % 1_000_000) },
    jobs: { type: "string", default: "Infinity" },
  },
});
const options: RoundOptions = {
  seed: values.seed,
  minutes: Number(values.minutes),
  maxJobs: Number(values.jobs),
  onProgress: (line) => console.error(line),
};
if (!(options.minutes > 0) || !(options.maxJobs > 0)) {
  console.error("--minutes and --jobs are numbers above 0");
  process.exit(2);
}

console.log(commandOf(options));
const report = await runRound(options);
console.log(formatReport(report));
if (report.violations.length > 0) {
  console.error(`\n${report.violations.length} violations; every call is in ${report.logFolder}`);
  console.error(`replay: ${commandOf(options)}`);
  process.exitCode = 1;
}
