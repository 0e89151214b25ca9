// Words that this project replaced by the field's: one meaning, one word.
// `node scripts/words.mjs` lists where one of them is back in code or comments, and fails.

import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const REPLACED = {
  bell: "wake",
  doorbell: "wake server",
  ringer: "wake client",
  weigh: "score",
  weighs: "scores",
  weighed: "scored",
  weighing: "score",
  judge: "check",
  judged: "checked",
  timetable: "schedule",
  door: "connection",
  knock: "request",
  crowd: "overflow",
  knot: "waiting group",
  mend: "fix",
  fared: "outcome",
  told: "reported, passed or given",
  odd: "invalid",
};

const root = fileURLToPath(new URL("..", import.meta.url));
const list = ["ls-files", "-z", "*.ts", "*.tsx", "*.sql", "*.mjs"];
const files = execFileSync("git", list, { cwd: root, encoding: "utf8" }).split("\0");
for (const file of files.filter((name) => name && !name.endsWith("scripts/words.mjs"))) {
  for (const [index, line] of readFileSync(`${root}/${file}`, "utf8").split("\n").entries()) {
    // `weighJob`, `weigh_job` and `weigh` all hold the word `weigh`.
    const words = line.match(/[A-Z]?[a-z]+|[A-Z]+(?![a-z])/g) ?? [];
    for (const word of new Set(words.map((each) => each.toLowerCase()))) {
      if (!Object.hasOwn(REPLACED, word)) continue;
      console.error(`${file}:${index + 1} says "${word}": write ${REPLACED[word]}`);
      process.exitCode = 1;
    }
  }
}
