import { AllSourcesFailedError } from "../errors.ts";
import type { Source } from "../source.ts";

/**
 * Creates a source that asks several sources in order and takes the first answer.
 *
 * A stopped daemon has answered, so the next source is not asked then.
 *
 * @throws AllSourcesFailedError from `read`, with the failure of each source.
 */
export function firstOf(sources: readonly Source[]): Source {
  if (sources.length === 0) throw new TypeError("firstOf needs at least one source");
  return {
    name: `first-of(${sources.map(({ name }) => name).join(", ")})`,
    async read({ signal } = {}) {
      const failures: { source: string; error: unknown }[] = [];
      for (const source of sources) {
        try {
          return await source.read({ signal });
        } catch (error) {
          signal?.throwIfAborted();
          failures.push({ source: source.name, error });
        }
      }
      throw new AllSourcesFailedError(failures);
    },
  };
}
