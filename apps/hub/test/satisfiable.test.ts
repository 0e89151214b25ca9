import { createHub } from "@loom/hub";
import type { Queue } from "@loom/queue";
import { workflowCapability } from "@loom/scheduler";
import { createInlinePlanner } from "@loom/worker";
import { cron } from "@loom/workflow";
import { pino } from "pino";
import { describe, expect } from "vitest";
import { type Body, runAll, sayHello, TOKEN, test, workflows } from "./fixtures.ts";

const code = workflows.map(({ name, version }) => workflowCapability(name, version));
const withGpu = { capabilities: ["has-gpu", ...code] };

/** What tests need of a hub. */
interface Hub {
  request(path: string, init: RequestInit): Response | Promise<Response>;
}

/** Whatever starts something: where to post, and what. */
const starts = ["run", "rerun", "retry", "jobs", "trigger"] as const;

const checkedTest = test
  .extend("asked", async ({ call, queue }) => {
    const { epoch } = await queue.lead("one", 45_000);
    await queue.syncSchedules([{ ...cron("@daily"), id: "nightly", workflow: "train" }], epoch);
    const session = await sayHello(queue, "forge", withGpu);
    const { runId } = (await call("POST", "/strands/train/run")).body;
    await runAll(queue, session);
    return {
      run: { path: "/strands/train/run", body: {} },
      rerun: { path: `/runs/${runId}/rerun`, body: {} },
      retry: { path: `/runs/${runId}/retry`, body: { mode: "all" } },
      jobs: { path: "/jobs", body: { jobs: [{ workflow: "train", step: "fit" }] } },
      trigger: { path: "/schedules/nightly/trigger", body: {} },
    };
  })
  // The node comes again without what the first step requires.
  .extend("loseGpu", ({ queue }) => async () => {
    await sayHello(queue, "forge", { capabilities: code });
  });

describe("what starts something", () => {
  checkedTest.for(starts)(
    "says what will become of it, and refuses the impossible: %s",
    async (what, { call, asked, loseGpu, countRows }) => {
      const { path, body } = asked[what];
      const verdictOf = (answer: Body) =>
        what === "jobs" ? (answer.jobs as Body[])[0]?.verdict : answer.verdict;
      const good = await call("POST", path, body);
      expect(good.status).toBe(202);
      expect(verdictOf(good.body)).toMatchObject({ verdict: "now" });
      const before = await countRows();
      await loseGpu();
      expect(await call("POST", path, body)).toMatchObject({
        status: 422,
        body: { code: "UNSATISFIABLE", explanations: [{ step: "fit" }] },
      });
      expect(await countRows()).toEqual(before);
      const allowed = await call("POST", path, { ...body, allowUnsatisfiable: true });
      expect(allowed.status).toBe(202);
      expect(verdictOf(allowed.body)).toMatchObject({ verdict: "never" });
    },
  );

  checkedTest.for(starts)("passes its trace on: %s", async (what, { call, queue, asked }) => {
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const { path, body } = asked[what];
    await call("POST", path, body, { traceparent });
    expect((await queue.listWaiting()).map((job) => job.traceparent)).toEqual([traceparent]);
  });

  test("is announced to the nodes that its first steps are pinned to", async ({ queue }) => {
    const pinnedTo: unknown[] = [];
    const hub: Hub = createHub({
      queue,
      planner: createInlinePlanner(workflows),
      log: pino({ level: "silent" }),
      token: TOKEN,
      onJobsAdded: (hosts) => pinnedTo.push(hosts),
    });
    const start = (path: string, body: unknown) =>
      hub.request(`/api/loom${path}`, {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
        body: JSON.stringify(body),
      });
    await start("/strands/pinned/run", {});
    await start("/strands/train/run", { input: { host: "forge" } });
    await start("/jobs", { jobs: [{ workflow: "chain", step: "c", host: "forge" }] });
    expect(pinnedTo).toEqual([["oracle"], [], ["forge"]]);
  });

  // The first request is done and its answer lost; nodes change; the second comes with the same key.
  checkedTest.for(starts)(
    "answers a repeated request as the first one, however nodes are now: %s",
    async (what, { call, asked, loseGpu, countRows }) => {
      const { path, body } = asked[what];
      const headers = { "idempotency-key": "k" };
      const first = await call("POST", path, body, headers);
      expect(first.status).toBe(202);
      const before = await countRows();
      await loseGpu();
      const second = await call("POST", path, body, headers);
      expect([second.status, second.headers.get("idempotency-replayed")]).toEqual([202, "true"]);
      const madeBy = ({ body: { runId, jobs } }: { body: Body }) =>
        runId ?? (jobs as Body[])[0]?.id;
      expect(madeBy(second)).toBe(madeBy(first));
      expect(JSON.stringify(second.body)).toContain('"never"');
      expect(await countRows()).toEqual(before);
      expect(
        await call("POST", path, { ...body, allowUnsatisfiable: false }, headers),
      ).toMatchObject({
        status: 422,
        body: { code: "IDEMPOTENCY_KEY_REUSED" },
      });
    },
  );

  checkedTest(
    "answers with the run or job that has its key, however nodes are now",
    async ({ call, asked, loseGpu }) => {
      const first = await call("POST", asked.run.path, { key: "k" });
      const job = { workflow: "train", step: "fit", key: "k" };
      const added = await call("POST", "/jobs", { jobs: [job] });
      await loseGpu();
      expect(await call("POST", asked.run.path, { key: "k" })).toMatchObject({
        status: 202,
        body: { runId: first.body.runId, returned: "existing", verdict: { verdict: "never" } },
      });
      const possible = { workflow: "chain", step: "a" };
      expect(await call("POST", "/jobs", { jobs: [possible, job] })).toMatchObject({
        status: 202,
        body: {
          jobs: [
            { returned: "created" },
            { id: (added.body.jobs as Body[])[0]?.id, returned: "existing" },
          ],
        },
      });
      const other = { ...job, key: "other" };
      expect(await call("POST", "/jobs", { jobs: [job, other] })).toMatchObject({
        status: 422,
        body: { code: "UNSATISFIABLE" },
      });
    },
  );

  // Two hubs that saw other nodes are asked at once with one key. Interleavings: the one that may makes the
  // run, and the other waits for the key and finds its answer; or the one that may not comes first, is
  // refused and leaves the key free, and then the run is made. In no order is there a run that a later
  // request with the key does not find.
  checkedTest(
    "of two at once with other verdicts starts one run",
    async ({ queue, loseGpu, asked }) => {
      await loseGpu();
      const hubOver = (over: Queue): Hub =>
        createHub({
          queue: over,
          planner: createInlinePlanner(workflows),
          log: pino({ level: "silent" }),
          token: TOKEN,
        });
      const nodes = await queue.listNodes();
      const hopeful = hubOver({
        ...queue,
        listNodes: async () => nodes.map((node) => ({ ...node, ...withGpu })),
      });
      const strict = hubOver(queue);
      for (let round = 0; round < 10; round += 1) {
        const init = {
          method: "POST",
          headers: { authorization: `Bearer ${TOKEN}`, "idempotency-key": `k${round}` },
        };
        const start = async (hub: Hub) => {
          const answer = await hub.request(`/api/loom${asked.run.path}`, init);
          return { status: answer.status, body: (await answer.json()) as Body };
        };
        const [made, other] = await Promise.all([start(hopeful), start(strict)]);
        expect(made.status).toBe(202);
        expect([made.body.runId, undefined]).toContain(other.body.runId);
        expect(other.status).toBe(other.body.runId === undefined ? 422 : 202);
        expect(await start(strict)).toMatchObject({
          status: 202,
          body: { runId: made.body.runId },
        });
      }
    },
  );
});
