import type { RecordedCall } from "./recorded-call.ts";
import type { Finding } from "./violation.ts";

/** Looks for one thing that clients must not see. */
export type CallRule = (calls: readonly RecordedCall[]) => Iterable<Finding>;
