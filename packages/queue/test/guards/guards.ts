import { describe, expect, test } from "vitest";
import { type Lab, openLab } from "../history-support/lab.ts";
import type { Mutation } from "../history-support/mutation.ts";

/** A guard of the functions that is taken out, and the fault that has to be seen then. */
export interface Guard extends Pick<Mutation, "title" | "edits" | "drops"> {
  fault: RegExp;
}

/** Replaces a text of a function, which is there once. */
export const edit = (name: string, replace: string, by = "") => ({ name, replace, by });

/** Describes that nothing is wrong as it is, and that something is without each of the guards. */
export function describeGuards(
  title: string,
  guards: readonly Guard[],
  findFaults: (lab: Lab) => Promise<string[]>,
): void {
  describe(title, () => {
    test("break no rule", async () => {
      expect(await findFaults(await openLab())).toEqual([]);
    });

    test.for(guards)("a fault is seen when $title", async ({ fault, ...mutation }) => {
      const lab = await openLab({ ...mutation, caughtBy: [] });
      expect((await findFaults(lab)).join("\n")).toMatch(fault);
    });
  });
}

/** One situation that guards are for: it returns what went wrong. */
export type Situation = (lab: Lab) => Promise<(string | false)[]>;

/**
 * What goes wrong in situations, one after the other. Nothing, while all guards are there.
 *
 * @param clear - Removes what the situations before have left. Its rows are checked first.
 */
export async function findFaultsIn(
  situations: Readonly<Record<string, Situation>>,
  lab: Lab,
  clear?: (lab: Lab) => Promise<void>,
): Promise<string[]> {
  const faults: string[] = [];
  const rows: string[] = [];
  for (const [name, situation] of Object.entries(situations)) {
    if (clear) rows.push(...(await lab.queue.verify()));
    await lab.attempt(async () => {
      await clear?.(lab);
      const found = (await situation(lab)).filter((fault) => fault !== false);
      faults.push(...found.map((fault) => `${name}: ${fault}`));
    });
  }
  rows.push(...(await lab.queue.verify()));
  return [...faults, ...lab.errors.map(String), ...rows];
}
