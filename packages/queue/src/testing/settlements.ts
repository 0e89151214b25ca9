import type { ClaimedJob } from "../exchange/claims.ts";
import type { Settlement } from "../exchange/settlements.ts";

type Claim = Pick<ClaimedJob, "id" | "fence">;

/** Settles a claim as succeeded. */
export const success = ({ id, fence }: Claim): Settlement => ({
  id,
  fence,
  outcome: "succeeded",
  result: { ok: true },
});

/** Settles a claim as failed, to be tried again. */
export const failure = ({ id, fence }: Claim): Settlement => ({
  id,
  fence,
  outcome: "failed",
  error: { message: "boom" },
});
