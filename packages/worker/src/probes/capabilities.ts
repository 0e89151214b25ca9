import { HUB_CAPABILITY } from "@loom/scheduler";
import type { ProbeReport } from "./probe.ts";

/** The capabilities of a node, and facts that say where each comes from. */
export interface NodeDescription {
  capabilities: string[];
  facts: Record<string, unknown>;
}

/**
 * Joins the capabilities of the machine, those that were declared, and those that probes found. The
 * facts keep the source of each capability and the result of each probe.
 */
export function describeNode({
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

const MAX_LENGTH = 200;
/** The part before the first `=` of a capability, as a clause can name it. */
const KEY = /^[^\s\p{C}!=<>|(),"]+$/u;
const ENTRY = /(?:"(?:[^"\\]|\\.)*"|[^,"]|")+/g;

/** Capabilities that a person declared, or the reason why they are invalid. */
export type ParsedCapabilities = { capabilities: string[] } | { problem: string };

/**
 * Reads a list of capabilities: `has-gpu, gpu.model=RTX 4090, rack="a, left"`. A value may
 * have spaces. A value with a comma is in double quotes, as in a clause. Capabilities that identify a
 * node cannot be declared.
 */
export function parseCapabilities(text: string): ParsedCapabilities {
  const capabilities: string[] = [];
  for (const [entry] of text.matchAll(ENTRY)) {
    const declared = entry.trim();
    if (declared === "") continue;
    const equals = declared.indexOf("=");
    const key = (equals === -1 ? declared : declared.slice(0, equals)).trim();
    const value = equals === -1 ? undefined : unquote(declared.slice(equals + 1).trim());
    const capability = value === undefined ? key : `${key}=${value}`;
    if (!KEY.test(key) || value === "" || /[\p{Cc}\p{Cs}]/u.test(capability)) {
      return {
        problem:
          "separate capabilities by commas; each is a name without spaces, or a name and a value, as in has-gpu, gpu.model=RTX 4090",
      };
    }
    if (capability.length > MAX_LENGTH) {
      return { problem: `each has up to ${MAX_LENGTH} characters` };
    }
    if ([HUB_CAPABILITY, "node"].includes(key.toLowerCase())) {
      return { problem: `remove ${key}: it identifies a node and cannot be declared` };
    }
    capabilities.push(capability);
  }
  return { capabilities };
}

/** A value in double quotes is written as JSON; any other stands for itself. */
function unquote(value: string): string {
  if (!/^".*"$/.test(value)) return value;
  try {
    return JSON.parse(value) as string;
  } catch {
    return value;
  }
}

/** Any text as the value of a capability: lower case, anything but `a-z 0-9 . _` as hyphens. */
export const toValue = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9._]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 100);
