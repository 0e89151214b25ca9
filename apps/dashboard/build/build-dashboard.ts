import { readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const at = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

/** What the page is made of. */
const SOURCES = [
  "../src",
  "../public",
  "../index.html",
  "../vite.config.ts",
  "../../hub/src/client",
];
const BUILT = "../../hub/dist/dashboard/index.html";

/**
 * Builds the dashboard where the hub serves it from, unless what is there is as new as its sources.
 *
 * @returns whether it had to be built, which takes about a second.
 */
export async function buildDashboard(): Promise<boolean> {
  const builtAt = changedAt(at(BUILT));
  if (SOURCES.every((source) => newest(at(source)) <= builtAt)) return false;
  // Loaded only when it is needed: it is the slowest import of a start.
  const { build } = await import("vite");
  await build({ configFile: at("../vite.config.ts"), logLevel: "error" });
  return true;
}

const changedAt = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

function newest(path: string): number {
  if (!statSync(path).isDirectory()) return changedAt(path);
  const files = readdirSync(path, { recursive: true, encoding: "utf8" });
  return Math.max(...files.map((file) => changedAt(`${path}/${file}`)));
}
