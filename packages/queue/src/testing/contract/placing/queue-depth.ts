import { describe, expect } from "vitest";
import { claim, offerAll, sayHello } from "../../agent.ts";
import { makeJob } from "../../new-job.ts";
import type { QueueTest } from "../../queue-test.ts";
import { setRunAt } from "../../rows.ts";

export function queueDepthContract(test: QueueTest): void {
  describe("queueDepth", () => {
    test("counts due jobs by their requirements, and by the node that should claim them", async ({
      queue,
    }) => {
      await queue.enqueue([
        makeJob({ requires: ["has-gpu"] }),
        makeJob({ requires: ["has-gpu"], priority: 0, workflow: "other" }),
        makeJob({ delayMs: 3_600_000 }),
        makeJob({ host: "tower" }),
      ]);
      expect(await queue.queueDepth()).toEqual({
        waiting: [{ requires: ["has-gpu"], jobs: 2, oldestMs: expect.any(Number) }],
        offered: [{ node: "tower", jobs: 1, oldestMs: expect.any(Number) }],
        more: false,
      });
      const session = await sayHello(queue, "forge");
      await offerAll(queue, "forge");
      expect(await queue.queueDepth()).toMatchObject({
        waiting: [],
        offered: [
          { node: "forge", jobs: 2 },
          { node: "tower", jobs: 1 },
        ],
      });
      await claim(queue, session);
      expect((await queue.queueDepth()).offered).toMatchObject([{ node: "tower" }]);
    });

    test("returns how long the oldest due job has waited", async ({ queue, database }) => {
      await queue.enqueue([makeJob({ key: "old" }), makeJob()]);
      await setRunAt(database, "now() - interval '90 seconds'", "old");
      const { waiting } = await queue.queueDepth();
      expect(waiting).toMatchObject([{ requires: [], jobs: 2 }]);
      expect(waiting[0]?.oldestMs).toBeGreaterThanOrEqual(90_000);
      expect(waiting[0]?.oldestMs).toBeLessThan(120_000);
    });

    test("bounds its counts and its kinds, and says when there are more", async ({ queue }) => {
      await queue.enqueue([
        ...Array.from({ length: 5 }, () => makeJob({ requires: ["has-gpu"] })),
        makeJob({ requires: ["docker"] }),
      ]);
      const counted = await queue.queueDepth({ count: 3 });
      expect(counted.waiting.map(({ requires, jobs }) => [...requires, jobs])).toEqual([
        ["docker", 1],
        ["has-gpu", 3],
      ]);
      expect(counted.more).toBe(false);
      const one = await queue.queueDepth({ kinds: 1 });
      expect(one.waiting).toHaveLength(1);
      expect(one.more).toBe(true);
    });
  });
}
