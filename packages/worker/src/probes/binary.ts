import { access, constants, stat } from "node:fs/promises";
import path from "node:path";
import { toValue } from "./capabilities.ts";
import type { Probe } from "./probe.ts";

/**
 * A program in the search path: `has-<program>`. The probe finds it and does not run it.
 *
 * @param searchPath - As in `PATH`.
 */
export const binary = (program: string, searchPath: string): Probe => ({
  name: `binary ${program}`,
  everyMs: 60_000,
  async run() {
    for (const folder of searchPath.split(path.delimiter).filter(Boolean)) {
      const file = path.join(folder, program);
      if (await isProgram(file)) {
        return { result: "ok", capabilities: [`has-${toValue(program)}`], evidence: file };
      }
    }
    return { result: "absent", evidence: `${program} is not in PATH` };
  },
});

const isProgram = async (file: string): Promise<boolean> => {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
};
