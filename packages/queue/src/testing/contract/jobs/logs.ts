import { describe, expect } from "vitest";
import { claim, offerAll, only, runningJob } from "../../agent.ts";
import type { QueueTest } from "../../queue-test.ts";
import { success } from "../../settlements.ts";

export function logsContract(test: QueueTest): void {
  describe("a log", () => {
    test("is what was appended, in order, and may be appended twice", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const claimed = { node: "forge", id: job.id, fence: job.fence };
      const chunks = [
        { start: 0, chunk: "one\n" },
        { start: 4, chunk: "two\n" },
      ];
      expect(await queue.appendLog(claimed, chunks.slice(1))).toBe("accepted");
      expect(await queue.appendLog(claimed, chunks)).toBe("accepted");
      expect(await queue.appendLog(claimed, chunks)).toBe("accepted");
      expect(await queue.readLog(job.id)).toEqual({ fence: 1, chunks, next: 8 });
    });

    // Interleavings: the chunks' keys let each be written once; the others find it there.
    test("is kept once, however many copies of a call arrive", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const chunks = Array.from({ length: 20 }, (_, n) => ({ start: 2 * n, chunk: `${n % 10}\n` }));
      const append = (part: typeof chunks) =>
        queue.appendLog({ node: "forge", id: job.id, fence: 1 }, part);
      const answers = await Promise.all([chunks, chunks.toReversed(), chunks, chunks].map(append));
      expect(answers).toEqual(["accepted", "accepted", "accepted", "accepted"]);
      expect(await queue.readLog(job.id)).toEqual({ fence: 1, chunks, next: 40 });
    });

    test("is read from a byte on, whatever the characters' lengths", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const chunks = [
        { start: 0, chunk: "é€" },
        { start: 5, chunk: "😀" },
        { start: 9, chunk: "end" },
      ];
      await queue.appendLog({ node: "forge", id: job.id, fence: 1 }, chunks);
      const read = async (from: number) => (await queue.readLog(job.id, { from })).chunks;
      expect(await read(4)).toEqual(chunks);
      expect(await read(5)).toEqual(chunks.slice(1));
      expect(await read(8)).toEqual(chunks.slice(1));
      expect(await read(9)).toEqual(chunks.slice(2));
      expect(await queue.readLog(job.id, { from: 12 })).toEqual({ fence: 1, chunks: [], next: 12 });
    });

    test("is read in parts without gaps or repeats", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const chunks = Array.from({ length: 7 }, (_, n) => ({ start: 3 * n, chunk: "€" }));
      await queue.appendLog({ node: "forge", id: job.id, fence: 1 }, chunks);
      const seen: typeof chunks = [];
      for (let from = 0; from < 21; ) {
        const page = await queue.readLog(job.id, { from, limit: 3 });
        expect(page.chunks.length).toBeLessThanOrEqual(3);
        seen.push(...page.chunks);
        from = page.next;
      }
      expect(seen).toEqual(chunks);
    });

    test("keeps its bytes in place when some cannot be stored", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const chunks = [
        { start: 0, chunk: "a\0b\ud83d" },
        { start: 6, chunk: "c" },
      ];
      const claimed = { node: "forge", id: job.id, fence: 1 };
      expect(await queue.appendLog(claimed, chunks)).toBe("accepted");
      expect((await queue.readLog(job.id)).chunks).toEqual([
        { start: 0, chunk: "a\x1ab\ufffd" },
        { start: 6, chunk: "c" },
      ]);
    });

    test("belongs to its attempt: the newest one is read, and older ones by their fence", async ({
      queue,
    }) => {
      const { job, session } = await runningJob(queue);
      const append = (fence: number) =>
        queue.appendLog({ node: "forge", id: job.id, fence }, [{ start: 0, chunk: `of ${fence}` }]);
      await append(1);
      await queue.settle("forge", [{ ...job, outcome: "released" }]);
      await offerAll(queue, "forge");
      await claim(queue, session, { seq: 2 });
      await append(2);
      expect((await queue.readLog(job.id)).chunks).toEqual([{ start: 0, chunk: "of 2" }]);
      expect((await queue.readLog(job.id, { fence: 1 })).chunks).toEqual([
        { start: 0, chunk: "of 1" },
      ]);
    });

    test("gives its last lines as whole chunks, up to 4 MiB", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const append = (...chunks: { start: number; chunk: string }[]) =>
        queue.appendLog({ node: "forge", id: job.id, fence: 1 }, chunks);
      const starts = async (lines: number) => {
        const { fence, chunks, next } = await queue.tailLog(job.id, { lines });
        return { fence, starts: chunks.map(({ start }) => start), next };
      };
      expect(await starts(1)).toEqual({ fence: 1, starts: [], next: 0 });
      await append(
        { start: 0, chunk: "a\nb\n" },
        { start: 4, chunk: "c" },
        { start: 5, chunk: "\nd\n" },
      );
      expect(await starts(1)).toEqual({ fence: 1, starts: [5], next: 8 });
      expect(await starts(2)).toEqual({ fence: 1, starts: [0, 4, 5], next: 8 });

      const size = 262_144;
      const large = Array.from({ length: 20 }, (_, n) => ({
        start: 8 + n * size,
        chunk: "x".repeat(size),
      }));
      for (const chunk of large) await append(chunk);
      expect((await starts(1)).starts).toHaveLength(16);
      expect(await queue.tailLog(job.id, { fence: 7, lines: 1 })).toMatchObject({ chunks: [] });
      expect(await queue.tailLog(404, { lines: 1 })).toEqual({ fence: null, chunks: [], next: 0 });
    });

    test("refuses output of a node that does not own the attempt", async ({ queue }) => {
      const { job, session } = await runningJob(queue);
      const append = (node: string, id: number, fence: number) =>
        queue.appendLog({ node, id, fence }, [{ start: 0, chunk: "x" }]);
      expect(await append("oracle", job.id, 1)).toBe("unknown");
      expect(await append("forge", 404, 1)).toBe("unknown");
      expect(await append("forge", job.id, 2)).toBe("stale");

      await queue.settle("forge", [{ ...job, outcome: "released" }]);
      expect(await append("forge", job.id, 1)).toBe("stale");
      await offerAll(queue, "forge");
      const again = only(await claim(queue, session, { seq: 2 }));
      expect(await append("forge", job.id, 1)).toBe("stale");
      await queue.settle("forge", [success(again)]);
      expect(await append("forge", job.id, 2)).toBe("stale");
      expect(await queue.readLog(job.id)).toEqual({ fence: 2, chunks: [], next: 0 });
    });

    test("ends at 10 MiB, and a chunk at 256 KiB", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const append = (start: number, chunk: string) =>
        queue.appendLog({ node: "forge", id: job.id, fence: 1 }, [{ start, chunk }]);
      expect(await append(10_485_759, "x")).toBe("accepted");
      expect(await append(10_485_759, "xy")).toBe("too_large");
      expect(await append(10_485_760, "x")).toBe("too_large");
      expect(await append(0, "x".repeat(262_144))).toBe("accepted");
      await expect(append(262_144, "x".repeat(262_145))).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
      });
    });

    test("takes so many chunks in one call", async ({ queue }) => {
      const { job } = await runningJob(queue);
      const append = (count: number) => {
        const chunks = Array.from({ length: count }, (_, start) => ({ start, chunk: "x" }));
        return queue.appendLog({ node: "forge", id: job.id, fence: 1 }, chunks);
      };
      await expect(append(41)).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(await append(40)).toBe("accepted");
    });

    test("is empty where there is nothing to read", async ({ queue }) => {
      expect(await queue.readLog(404)).toEqual({ fence: null, chunks: [], next: 0 });
    });
  });
}
