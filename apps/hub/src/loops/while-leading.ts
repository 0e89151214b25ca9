import type { Leader } from "./leader.ts";

/** A round that is done while this hub leads, and passed over while it does not. */
export const whileLeading =
  (leader: Pick<Leader, "epoch">, round: (epoch: number) => Promise<void>) =>
  async (): Promise<void> => {
    const epoch = leader.epoch();
    if (epoch !== undefined) await round(epoch);
  };
