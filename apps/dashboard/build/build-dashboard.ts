import { execFile } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const at = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Files and folders that the page is built from. */
const SOURCES = [
  "../src",
  "../public",
  "../index.html",
  "../vite.config.ts",
  "../../../packages/client/src",
];
const BUILT = "../../hub/dist/dashboard/index.html";

/**
 * Builds the dashboard into the folder that the hub serves, unless the build there is as new as the sources. A build
 * takes about a second.
 *
 * @returns whether it was built.
 */
export async function buildDashboard(): Promise<boolean> {
  const builtAt = changedAt(at(BUILT));
  if (SOURCES.every((source) => newest(at(source)) <= builtAt)) return false;
  // In a process of its own: the caller may run for days, and Vite would keep some 150 MiB of it.
  const vite = path.join(
    path.dirname(fileURLToPath(import.meta.resolve("vite/package.json"))),
    "bin/vite.js",
  );
  const options = ["--config", at("../vite.config.ts"), "--logLevel", "error"];
  await run(process.execPath, [vite, "build", ...options], { cwd: at("..") });
  return true;
}

const changedAt = (file: string): number => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;

function newest(source: string): number {
  if (!statSync(source).isDirectory()) return changedAt(source);
  const files = readdirSync(source, { recursive: true, encoding: "utf8" });
  return Math.max(...files.map((file) => changedAt(path.join(source, file))));
}
