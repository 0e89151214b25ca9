import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { playSessions, README } from "./session/play.ts";
import { normalise, sessionsOf } from "./session/session.ts";
import { tmuxMissing } from "./support/tmux.ts";

const missing = tmuxMissing();
if (missing && process.env.CI) throw new Error(`no terminals here: ${missing}`);
if (missing) console.warn(`the sessions of the README are not played: ${missing}`);

/**
 * The lines of a session, sorted: output and changes of state come by two ways. A step that began before the program
 * listened is not said to run.
 */
const linesOf = (text: string) =>
  normalise(text)
    .trimEnd()
    .split("\n")
    .filter((line) => !/ running on /.test(line))
    .sort();

test.skipIf(missing)("the sessions of the README are as they go (npm run session)", async () => {
  const written = sessionsOf(readFileSync(README, "utf8"));
  expect(written.map(({ name }) => name)).toEqual(["visit", "exec"]);
  const played = await playSessions();
  expect(played.map(({ name, text }) => ({ name, lines: linesOf(text) }))).toEqual(
    written.map(({ name, text }) => ({ name, lines: linesOf(text) })),
  );
});
