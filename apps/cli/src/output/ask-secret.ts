import { CliError } from "../errors.ts";

/**
 * Asks for a secret on the terminal, without showing it. Ctrl-C ends the program as everywhere.
 *
 * @param missing - What to say when there is no answer.
 * @throws CliError `NO_TERMINAL` when the terminal was closed.
 */
export function askSecret(
  question: string,
  missing: { what: string; fix: string },
): Promise<string> {
  const { stdin, stderr } = process;
  // In this order: who answers at once would see the answer.
  stdin.setRawMode(true);
  stderr.write(question);
  stdin.setEncoding("utf8");
  return new Promise((resolve, reject) => {
    let secret = "";
    const done = () => {
      stdin.setRawMode(false);
      stdin.pause();
      stdin.removeAllListeners("data");
      stdin.removeAllListeners("end");
      stderr.write("\n");
    };
    stdin.once("end", () => {
      done();
      reject(
        new CliError("NO_TERMINAL", {
          ...missing,
          why: "the terminal was closed",
        }),
      );
    });
    stdin.on("data", (typed: string) => {
      for (const key of typed) {
        if (key === "\r" || key === "\n") {
          done();
          return resolve(secret.trim());
        }
        if (key === "\u0003" || key === "\u0004") {
          done();
          process.kill(process.pid, "SIGINT");
          return;
        }
        if (key === "\u007f" || key === "\b") secret = secret.slice(0, -1);
        else if (key >= " ") secret += key;
      }
    });
    // An earlier question has paused it.
    stdin.resume();
  });
}
