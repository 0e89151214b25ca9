import type { Log } from "@loom/worker";

export interface Line {
  level: "debug" | "info" | "warn" | "error";
  message: string;
  facts: Readonly<Record<string, unknown>>;
}

/** A log that keeps its lines, those of its children with all their facts. */
export function recordLog(): Log & { lines: Line[] } {
  const lines: Line[] = [];
  const at = (context: object): ReturnType<Log["child"]> => {
    const write = (level: Line["level"]) => (facts: object | string, message?: string) =>
      void lines.push(
        typeof facts === "string"
          ? { level, message: facts, facts: { ...context } }
          : { level, message: message ?? "", facts: { ...context, ...facts } },
      );
    return {
      debug: write("debug"),
      info: write("info"),
      warn: write("warn"),
      error: write("error"),
      child: (facts) => at({ ...context, ...facts }),
    };
  };
  return Object.assign(at({}), { lines });
}
