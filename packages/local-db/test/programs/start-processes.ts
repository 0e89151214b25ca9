// Starts three processes, each with a child, and runs until it is killed. A process that is asked
// to end appends its name to the given file.
import { startProcess } from "../../src/index.ts";

const [file = ""] = process.argv.slice(2);
const script = `
  sleep 1000 &
  trap 'echo "$0" >> "$1"; exit' TERM
  echo up
  while :; do sleep 0.02; done
`;
for (const name of ["first", "second", "third"]) {
  await new Promise<void>((resolve, reject) => {
    startProcess("/bin/sh", ["-c", script, name, file], {
      stopSignal: "SIGTERM",
      onLine: () => resolve(),
    }).catch(reject);
  });
}
console.log(JSON.stringify({ pid: process.pid }));
