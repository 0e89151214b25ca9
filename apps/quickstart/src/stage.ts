import { styleText } from "node:util";

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
