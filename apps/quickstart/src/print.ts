import { styleText } from "node:util";
import { z } from "zod";

/** Runs one stage of the start and prints one line for it, with the time it took. */
export async function stage<Result>(
  name: string,
  work: () => Promise<Result>,
  describe: (result: Result) => string = () => "",
): Promise<Result> {
  const startedAt = performance.now();
  try {
    const result = await work();
    print("green", "ok", name, startedAt, describe(result));
    return result;
  } catch (error) {
    print("red", "failed", name, startedAt, "");
    throw error;
  }
}

function print(
  colour: "green" | "red",
  mark: string,
  name: string,
  startedAt: number,
  detail: string,
) {
  const seconds = `${((performance.now() - startedAt) / 1000).toFixed(1)} s`;
  console.log(
    `${styleText(colour, mark.padEnd(6))} ${name.padEnd(10)} ${styleText("dim", seconds.padStart(7))}  ${detail}`.trimEnd(),
  );
}

/** The line of the hub's log that says that a workflow file is not used. */
const notUsed = z.object({
  msg: z.literal("workflow file not used"),
  file: z.string(),
  line: z.number().nullable(),
  column: z.number().nullable(),
  frame: z.string().nullable(),
  problem: z.string(),
  fix: z.string().optional(),
});

/** Prints a workflow file that the hub cannot use, as a compiler would. Other lines are nothing to it. */
export function printWorkflowProblem(facts: Record<string, unknown>): void {
  const { success, data } = notUsed.safeParse(facts);
  if (!success) return;
  const { file, line, column, frame, problem, fix } = data;
  const place = [file, line, column].filter((each) => each !== null).join(":");
  console.log(
    [
      `${styleText("red", "failed")} ${place}: ${problem}`,
      ...(frame === null ? [] : [frame.replaceAll(/^/gm, "       ")]),
      ...(fix === undefined ? [] : [`       → ${fix}`]),
    ].join("\n"),
  );
}
