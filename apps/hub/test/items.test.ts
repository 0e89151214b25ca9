import { startMap } from "@loom/queue/testing";
import { describe, expect } from "vitest";
import { claim, test } from "./fixtures.ts";

describe("the items of a step that maps over a list", () => {
  test("are counted by the run, and listed page by page", async ({ call, queue }) => {
    const list = Array.from({ length: 5 }, (_, index) => ({ path: `${index}.mkv` }));
    const { runId, map, session } = await startMap(queue, list, { key: "path" });
    await queue.expandMaps();
    const items = await claim(queue, session, 2);
    await queue.settle(
      "forge",
      items.slice(1, 3).map(({ id, fence }) => ({
        id,
        fence,
        outcome: "failed",
        error: { code: "NO_AUDIO", message: "no audio" },
      })),
    );

    const run = await call("GET", `/runs/${runId}`);
    expect(run.body).toMatchObject({ status: "running" });
    expect((run.body.steps as unknown[]).slice(0, 2)).toMatchObject([
      { step: "list", items: null },
      {
        step: "each",
        state: "mapping",
        host: null,
        startedAt: expect.any(String),
        items: { total: 5, made: 5, succeeded: 0, failed: 2, cancelled: 0 },
      },
    ]);
    expect(run.body.steps).toHaveLength(3);

    const first = await call("GET", `/jobs/${map}/items?limit=2`);
    expect(first.body).toMatchObject({
      data: [
        { index: 0, key: "0.mkv", state: "running", host: "forge", error: null },
        {
          index: 1,
          key: "1.mkv",
          state: "failed",
          error: { code: "NO_AUDIO", message: "no audio" },
        },
      ],
    });
    const second = await call("GET", `/jobs/${map}/items?limit=4&cursor=${first.body.next}`);
    expect(second.body).toMatchObject({
      data: [{ index: 2 }, { index: 3 }, { index: 4 }],
      next: null,
    });
    const failed = await call("GET", `/jobs/${map}/items?state=failed`);
    expect(failed.body).toMatchObject({ data: [{ index: 1 }, { index: 2 }], next: null });

    expect((await call("GET", `/jobs/${items[0]?.id}`)).body).toMatchObject({
      step: "each",
      item: { of: map, index: 0 },
      input: { path: "0.mkv" },
      items: null,
    });
    expect((await call("GET", `/jobs/${map}/explain`)).body).toMatchObject({
      code: "mapping",
      summary: "2 of its 5 items have ended, 2 of them failed: ask for one of the others",
    });
    expect((await call("GET", `/jobs?runId=${runId}`)).body.data).toHaveLength(3);
  });

  test("are none of another job, and of no job", async ({ call, queue }) => {
    await startMap(queue, []);
    expect((await call("GET", "/jobs/1/items")).body).toEqual({ data: [], next: null });
    expect(await call("GET", "/jobs/999/items")).toMatchObject({
      status: 404,
      body: { code: "JOB_NOT_FOUND" },
    });
    expect(await call("GET", "/jobs/1/items?state=lost")).toMatchObject({ status: 422 });
  });
});
