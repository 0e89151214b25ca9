import { z } from "zod";
import type { Call } from "../transport/call.ts";

/** What a step keeps for its next attempt. */
export interface Checkpoints {
  /**
   * Stores the checkpoint of an attempt that the node still owns, in place of the one before. A repeated call changes
   * nothing, nor does a late copy of an earlier one.
   *
   * @param checkpoint.seq - Counts the checkpoints of the attempt, from 1.
   * @param checkpoint.json - At most 256 KiB of JSON.
   * @returns `stale` when the attempt is over; `too_large` and `invalid` leave the stored one as it is.
   * @see sql/checkpoints.sql
   */
  saveCheckpoint(
    claim: { node: string; id: number; fence: number },
    checkpoint: { seq: number; json: string },
  ): Promise<CheckpointAnswer>;
}

export const checkpoints = (call: Call): Checkpoints => ({
  saveCheckpoint: ({ node, id, fence }, { seq, json }) =>
    call(
      "loom_save_checkpoint",
      { p_node: node, p_job: id, p_fence: fence, p_seq: seq, p_value: json },
      checkpointAnswer,
    ),
});

const checkpointAnswer = z
  .object({ answer: z.enum(["accepted", "stale", "unknown", "too_large", "invalid"]) })
  .transform(({ answer }) => answer);

export type CheckpointAnswer = z.output<typeof checkpointAnswer>;
