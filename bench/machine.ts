import { execFileSync } from "node:child_process";
import { arch, cpus, loadavg, totalmem } from "node:os";

/** Where and when a measurement was made, in one line. */
export function describeRun(command: string): string {
  const [cpu] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const commit = execFileSync("git", ["rev-parse", "--short", "HEAD"], { encoding: "utf8" }).trim();
  return [
    `\`${command}\``,
    `${new Date().toISOString().slice(0, 10)}, commit ${commit}`,
    `${cpus().length} × ${cpu?.model.trim() ?? "unknown"} (${arch()}), ${memory} GiB, Node ${process.versions.node}`,
    `load average ${loadavg()
      .map((load) => load.toFixed(1))
      .join(", ")} at the end`,
  ].join("; ");
}
