import { fileURLToPath } from "node:url";

const isSource = import.meta.url.endsWith(".ts");

/** After the build, every program lies beside the index. */
const fileOf = (source: string, built: string): string =>
  fileURLToPath(new URL(isSource ? source : built, import.meta.url));

/** The programs that a worker starts, by name. A bundled worker needs them beside it. */
export const programFiles: Readonly<Record<string, string>> = {
  "step-main": fileOf("../step-process/step-main.ts", "./step-main.js"),
  watchdog: fileOf("../step-process/watchdog.ts", "./watchdog.js"),
  "planner-main": fileOf("../planner/planner-main.ts", "./planner-main.js"),
};
