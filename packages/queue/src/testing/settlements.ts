import type { ClaimedJob } from "../job.ts";
import type { Settlement } from "../settlement.ts";

type Claim = Pick<ClaimedJob, "id" | "fence">;

/** That this claim succeeded. */
export const success = ({ id, fence }: Claim): Settlement => ({
  id,
  fence,
  outcome: "succeeded",
  result: { ok: true },
});

/** That this claim failed, and may be tried again. */
export const failure = ({ id, fence }: Claim): Settlement => ({
  id,
  fence,
  outcome: "failed",
  error: { message: "boom" },
});
