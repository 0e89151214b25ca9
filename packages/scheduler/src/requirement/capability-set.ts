/** Capabilities, read once. Nodes that offer the same ones share a set, and what was found out about it. */
export interface CapabilitySet {
  /** By key; a tag has no values. */
  readonly values: ReadonlyMap<string, readonly string[]>;
  /** By clause: what is offered instead of it, `null` where it is met. */
  readonly shortfalls: Map<string, readonly string[] | null>;
}

// By identity first: an array is read once. The bounds are for what never comes again.
const byArray = new WeakMap<readonly string[], CapabilitySet>();
const byContent = new Map<string, CapabilitySet>();
const MAX_SETS = 20_000;

/** Reads capabilities; equal ones in the same order give the same set. */
export function capabilitySet(capabilities: readonly string[]): CapabilitySet {
  const known = byArray.get(capabilities);
  if (known !== undefined) return known;
  const content = capabilities.join("\0");
  let set = byContent.get(content);
  if (set === undefined) {
    if (byContent.size >= MAX_SETS) byContent.clear();
    set = { values: valuesByKey(capabilities), shortfalls: new Map() };
    byContent.set(content, set);
  }
  byArray.set(capabilities, set);
  return set;
}

function valuesByKey(capabilities: readonly string[]): Map<string, string[]> {
  const byKey = new Map<string, string[]>();
  for (const capability of capabilities) {
    const [key, value] = splitCapability(capability);
    let values = byKey.get(key);
    if (values === undefined) {
      values = [];
      byKey.set(key, values);
    }
    if (value !== undefined) values.push(value);
  }
  return byKey;
}

/** `gpu.vram-gb=24` as key and value; a tag has no value. */
export function splitCapability(capability: string): [key: string, value: string | undefined] {
  const equals = capability.indexOf("=");
  return equals === -1
    ? [capability, undefined]
    : [capability.slice(0, equals), capability.slice(equals + 1)];
}
