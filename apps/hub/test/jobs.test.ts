import { describe, expect } from "vitest";
import { claim, runAll, sayHello, test } from "./fixtures.ts";

describe("a job", () => {
  test("is a step on its own, with what its author says of it", async ({ call, queue }) => {
    const added = await call("POST", "/jobs", {
      jobs: [
        { workflow: "train", step: "fit", input: { notes: "x" } },
        { workflow: "chain", step: "c", host: "forge", key: "c-1" },
      ],
    });
    expect(added).toMatchObject({ status: 202, body: { jobs: [{ id: 1 }, { id: 2 }] } });
    expect((await call("GET", "/jobs/1")).body).toMatchObject({
      runId: null,
      state: "waiting",
      requires: ["has-gpu", expect.stringMatching(/^workflow:train@/)],
      input: { notes: "x" },
    });
    expect((await call("GET", "/jobs?state=pending&node=forge")).body).toMatchObject({
      data: [{ id: 2, targetHost: "forge" }],
    });
    await runAll(queue, await sayHello(queue, "forge"));
    expect((await call("GET", "/jobs/1")).body).toMatchObject({
      state: "succeeded",
      result: { ok: true },
    });
  });

  test.for([
    { jobs: [{ workflow: "train", step: "fitt" }], status: 404, code: "UNKNOWN_STEP" },
    { jobs: [{ workflow: "trian", step: "fit" }], status: 404, code: "UNKNOWN_WORKFLOW" },
    { jobs: [{ workflow: "train", step: "fit", input: 7 }], status: 422, code: "INVALID_INPUT" },
    { jobs: [], status: 422, code: "INVALID_REQUEST" },
  ])(
    "is refused with $code, and none of the others is added",
    async ({ jobs, status, code }, { call, countRows }) => {
      const good = { workflow: "hello", step: "greet" };
      const answer = await call("POST", "/jobs", {
        jobs: jobs.length > 0 ? [good, ...jobs] : jobs,
      });
      expect(answer).toMatchObject({ status, body: { code } });
      expect(await countRows()).toMatchObject({ jobs: 0 });
    },
  );

  test("is cancelled, and added again", async ({ call, queue }) => {
    await call("POST", "/jobs", { jobs: [{ workflow: "hello", step: "greet" }] });
    expect(await call("POST", "/jobs/1/redrive")).toMatchObject({
      status: 409,
      body: { code: "NOTHING_TO_REDRIVE" },
    });
    expect(await call("POST", "/jobs/1/cancel")).toMatchObject({
      status: 202,
      body: { answer: "cancelled" },
    });
    expect((await call("POST", "/jobs/1/cancel")).body).toEqual({ answer: "finished" });
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const copy = await call("POST", "/jobs/1/redrive", undefined, { traceparent });
    expect(copy).toMatchObject({ status: 202, body: { id: 2 } });
    expect((await call("POST", "/jobs/1/redrive")).body).toEqual(copy.body);
    expect(await queue.listWaiting()).toMatchObject([{ traceparent }]);
    for (const id of ["404", "9007199254740991"]) {
      expect((await call("POST", `/jobs/${id}/cancel`)).status).toBe(404);
    }
    for (const id of ["x", "0", "1.5", "-1", "9007199254740993", "1e3x"]) {
      expect((await call("GET", `/jobs/${id}`)).status).toBe(422);
    }
  });

  test("has its output from any byte on", async ({ call, queue }) => {
    await call("POST", "/jobs", { jobs: [{ workflow: "hello", step: "greet", host: "forge" }] });
    const session = await sayHello(queue, "forge");
    const [job] = await claim(queue, session, 1);
    await queue.appendLog({ node: "forge", id: 1, fence: job?.fence ?? 0 }, [
      { start: 0, chunk: "é one\n" },
      { start: 7, chunk: "two\n" },
    ]);
    const read = async (query: string) => (await call("GET", `/jobs/1/logs${query}`)).body;
    expect(await read("")).toEqual({ fence: 1, offset: 0, text: "é one\ntwo\n", next: 11 });
    expect(await read("?offset=3")).toEqual({ fence: 1, offset: 3, text: "one\ntwo\n", next: 11 });
    expect(await read("?offset=11")).toEqual({ fence: 1, offset: 11, text: "", next: 11 });
    expect(await read("?fence=7")).toMatchObject({ text: "" });
    expect((await call("GET", "/jobs/404/logs")).status).toBe(404);
    expect((await call("GET", "/jobs/1/logs?offset=-1")).status).toBe(422);
  });

  test("has its last lines", async ({ call, queue }) => {
    await call("POST", "/jobs", { jobs: [{ workflow: "hello", step: "greet", host: "forge" }] });
    const session = await sayHello(queue, "forge");
    const [job] = await claim(queue, session, 1);
    const append = (...chunks: { start: number; chunk: string }[]) =>
      queue.appendLog({ node: "forge", id: 1, fence: job?.fence ?? 0 }, chunks);
    const read = async (query: string) => (await call("GET", `/jobs/1/logs${query}`)).body;
    expect(await read("?tail=3")).toEqual({ fence: 1, offset: 0, text: "", next: 0 });

    await append({ start: 0, chunk: "\né one\n" }, { start: 8, chunk: "two\nth" });
    await append({ start: 14, chunk: "ree\n" });
    const all = { fence: 1, offset: 0, text: "\né one\ntwo\nthree\n", next: 18 };
    expect(await read("?tail=0")).toEqual({ ...all, offset: 18, text: "" });
    expect(await read("?tail=1")).toEqual({ ...all, offset: 12, text: "three\n" });
    expect(await read("?tail=2")).toEqual({ ...all, offset: 8, text: "two\nthree\n" });
    expect(await read("?tail=3")).toEqual({ ...all, offset: 1, text: "é one\ntwo\nthree\n" });
    for (const lines of [4, 5, 100_000]) expect(await read(`?tail=${lines}`)).toEqual(all);

    // A line that has not ended is one, too.
    await append({ start: 18, chunk: "fo" });
    expect(await read("?tail=2")).toMatchObject({ offset: 12, text: "three\nfo", next: 20 });
    expect(await read("?tail=1&fence=7")).toMatchObject({ fence: 7, text: "" });
    for (const query of ["tail=-1", "tail=100001", "tail=x", "tail=1&offset=1"]) {
      expect((await call("GET", `/jobs/1/logs?${query}`)).status).toBe(422);
    }
  });
});
