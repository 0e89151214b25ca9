/** A step and the steps that it comes after. */
export interface Ordered {
  readonly step: string;
  readonly after: readonly string[];
}

/**
 * Arranges steps in columns: each is to the right of all steps that it comes after. A column keeps the
 * order of the workflow.
 */
export function layersOf<Step extends Ordered>(steps: readonly Step[]): Step[][] {
  const depths = new Map<string, number>();
  const byName = new Map(steps.map((step) => [step.step, step]));
  const depthOf = (name: string): number => {
    const known = depths.get(name);
    if (known !== undefined) return known;
    const before = (byName.get(name)?.after ?? []).filter((one) => byName.has(one));
    const depth = before.length === 0 ? 0 : 1 + Math.max(...before.map(depthOf));
    depths.set(name, depth);
    return depth;
  };
  const layers: Step[][] = [];
  for (const step of steps) {
    const depth = depthOf(step.step);
    layers[depth] = [...(layers[depth] ?? []), step];
  }
  return layers;
}

/** The needs between steps, without those that follow from other needs. */
export function directNeeds(steps: readonly Ordered[]): { from: string; to: string }[] {
  const byName = new Map(steps.map((step) => [step.step, step]));
  const reaches = (from: string, to: string): boolean =>
    (byName.get(from)?.after ?? []).some((need) => need === to || reaches(need, to));
  return steps.flatMap(({ step, after }) =>
    after
      .filter((need) => !after.some((other) => other !== need && reaches(other, need)))
      .map((need) => ({ from: need, to: step })),
  );
}
