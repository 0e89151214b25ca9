// Usage: npm run session
//
// Plays the terminal sessions of the README, and writes what came of them into it.
import { readFileSync, writeFileSync } from "node:fs";
import { playSessions, README } from "./play.ts";
import { withSessions } from "./session.ts";

const before = readFileSync(README, "utf8");
const after = withSessions(before, await playSessions());
writeFileSync(README, after);
console.log(after === before ? "README.md is as it was" : "README.md has changed");
