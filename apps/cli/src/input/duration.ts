import { parseDuration } from "@loom/workflow/duration";
import { usage } from "../errors.ts";

/**
 * Reads the duration of an option, such as `15m`, in milliseconds.
 *
 * @throws CliError `USAGE`.
 */
export function readDuration(option: string, text: string): number {
  try {
    return parseDuration(text.trim());
  } catch (error) {
    throw usage(
      `${option} takes a duration`,
      `${option} 15m`,
      error instanceof Error ? error.message : undefined,
    );
  }
}
