import { SourceError } from "../errors.ts";
import { parseStatus } from "../parse-status.ts";
import { createResolver, type ResolverOptions } from "../resolver.ts";
import type { Source } from "../source.ts";
import { sampleStatus, toJson } from "./sample-status.ts";

/** The error of a source whose daemon does not run. */
export const away = new SourceError("the daemon is away", {
  code: "DAEMON_ABSENT",
  source: "scripted",
});

/** Creates a resolver whose source and clock the test controls. */
export function scriptResolver(options: Omit<ResolverOptions, "source" | "now"> = {}) {
  const script: { answer: object | Error; reads: number; clockMs: number } = {
    answer: sampleStatus(),
    reads: 0,
    clockMs: 1_000,
  };
  const source: Source = {
    name: "scripted",
    async read() {
      script.reads += 1;
      if (script.answer instanceof Error) throw script.answer;
      return parseStatus(toJson(script.answer), "scripted");
    },
  };
  return { script, resolver: createResolver({ source, now: () => script.clockMs, ...options }) };
}
