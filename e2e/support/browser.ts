import { existsSync } from "node:fs";
import path from "node:path";
import { type Browser, chromium } from "playwright-core";

const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const PLACES = [
  ...(process.env.PATH ?? "")
    .split(path.delimiter)
    .flatMap((folder) => NAMES.map((name) => path.join(folder, name))),
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** The browser of this machine: the one named by `CHROMIUM_BIN`, else the first on the path. */
export const browserPath: string | undefined =
  process.env.CHROMIUM_BIN ?? PLACES.find((place) => existsSync(place));

/** Where it is decided whether a change lands, a missing browser is a failure. */
export const canBrowse = browserPath !== undefined || process.env.CI !== undefined;

/** @throws Error where this machine has none. */
export async function openBrowser(executablePath = browserPath): Promise<Browser> {
  if (executablePath === undefined) {
    throw new Error("no Chromium or Chrome: install one, or name it in CHROMIUM_BIN");
  }
  return chromium.launch({
    executablePath,
    // Chromium refuses its sandbox to root.
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
}
