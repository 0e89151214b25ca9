import type { ProbeReport } from "./probe.ts";

/** What a node says it offers, with where each part comes from. */
export interface NodeDescription {
  capabilities: string[];
  facts: Record<string, unknown>;
}

/**
 * What a node offers: what the machine is, what was declared, and what probes found. The facts
 * keep the source of each capability and what each probe came to.
 */
export function toOffer({
  machine,
  declared,
  reports,
}: {
  machine: { capabilities: readonly string[]; facts: Readonly<Record<string, unknown>> };
  declared: readonly string[];
  reports: readonly ProbeReport[];
}): NodeDescription {
  const sources: [source: string, capabilities: readonly string[]][] = [
    ["machine", machine.capabilities],
    ["declared", declared],
    ...reports.map(({ name, capabilities }): [string, readonly string[]] => [name, capabilities]),
  ];
  return {
    capabilities: [...new Set(sources.flatMap(([, capabilities]) => capabilities))],
    facts: {
      ...machine.facts,
      sources: Object.fromEntries(sources.filter(([, capabilities]) => capabilities.length > 0)),
      probes: reports.map(({ name, result, evidence, at, tookMs, everyMs }) => ({
        name,
        result,
        evidence,
        at: at.toISOString(),
        tookMs,
        everyMs,
      })),
    },
  };
}
