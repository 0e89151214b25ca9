import { setTimeout as sleep } from "node:timers/promises";
import { defineWorkflow } from "@loom/workflow";
import { crossNodeSmoke } from "@loom/workflows";
import { z } from "zod";

export { crossNodeSmoke };

const minute = z.object({ pace: z.number().default(1) });

/** What somebody's machines do of a night: long enough to be seen at it. */
export const nightlyTrain = defineWorkflow({ name: "nightly-train", input: minute })
  .step("fetch", { requires: ["has-nas"] }, async ({ input, log }) => {
    log.info({ files: 412 }, "fetched");
    await sleep(900 * input.pace);
    return { files: 412 };
  })
  .step("tokenise", { after: ["fetch"] }, async ({ input }) => {
    await sleep(700 * input.pace);
    return { tokens: 1_840_221 };
  })
  .step(
    "train",
    { after: ["fetch", "tokenise"], requires: ["has-gpu"] },
    async ({ input, log, signal }) => {
      for (let epoch = 1; epoch <= 5; epoch += 1) {
        await sleep(900 * input.pace, undefined, { signal });
        log.info({ epoch, loss: Number((1 / epoch).toFixed(3)) }, "epoch done");
      }
      return { loss: 0.2 };
    },
  )
  .step("evaluate", { after: ["train"] }, async ({ input }) => {
    await sleep(500 * input.pace);
    return { accuracy: 0.91 };
  })
  .step("publish", { after: ["train", "evaluate"], requires: ["has-nas"] }, async () => ({
    path: "/models/2026-11",
  }));

export const transcode = defineWorkflow({ name: "transcode", input: minute })
  .step("probe", {}, async ({ input }) => {
    await sleep(400 * input.pace);
    return { seconds: 5_412 };
  })
  .step("video", { after: ["probe"], requires: ["has-gpu"] }, async ({ input, signal }) => {
    await sleep(3_000 * input.pace, undefined, { signal });
    return { codec: "av1" };
  })
  .step("audio", { after: ["probe"] }, async ({ input, signal }) => {
    await sleep(1_200 * input.pace, undefined, { signal });
    return { codec: "opus" };
  })
  .step("store", { after: ["video", "audio"], requires: ["has-nas"] }, async ({ input }) => {
    await sleep(300 * input.pace);
    return { path: "/films/1" };
  });

export const backup = defineWorkflow({ name: "backup", input: minute })
  .step("snapshot", { requires: ["loom-hub"] }, async ({ input }) => {
    await sleep(500 * input.pace);
    return { bytes: 73_400_320 };
  })
  .step("copy", { after: ["snapshot"], requires: ["has-nas"] }, async ({ input }) => {
    await sleep(1_500 * input.pace);
    return { copied: true };
  });

/** Nobody here has a laser: it waits, and says so. */
export const cutSign = defineWorkflow({ name: "cut-sign", input: z.object({}) }).step(
  "cut",
  { requires: ["has-laser"] },
  async ({ node }) => ({ node }),
);

/** Fails, to show what that looks like. */
export const checkDisks = defineWorkflow({ name: "check-disks", input: z.object({}) }).step(
  "scrub",
  { requires: ["has-nas"], retry: { attempts: 1 } },
  async () => {
    throw new Error("3 unreadable sectors on /dev/sdb");
  },
);
