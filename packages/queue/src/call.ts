import type { z } from "zod";

/** Calls an SQL function and checks its answer. */
export type Call = <Schema extends z.ZodType>(
  name: string,
  args: Record<string, unknown>,
  schema: Schema,
) => Promise<z.output<Schema>>;

export interface CallOptions {
  /** Ring the channel `loom_offers` for whom there are new offers. */
  notify: boolean;
}
