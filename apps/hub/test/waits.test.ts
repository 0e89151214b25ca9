import { describe, expect } from "vitest";
import { type Body, test as base } from "./fixtures.ts";
import { type ProcessHubRequest, startProcessHub } from "./process-hub.ts";

const test = base.extend("hub", async ({ queue }) => {
  const { planner, ask } = await startProcessHub(queue, "waiting");
  await planner.loaded;
  return (method: string, where: string, request?: ProcessHubRequest) =>
    ask(method, `/api/loom${where}`, request);
});

type Hub = (
  method: string,
  where: string,
  request?: ProcessHubRequest,
) => Promise<{ status: number; body: Body }>;

const makeToken = async (hub: Hub, name: string, scopes: string[]) =>
  String((await hub("POST", "/tokens", { body: { name, scopes } })).body.token);

/** Starts a run, and returns what it says of a step until the step is as expected. */
async function start(hub: Hub, coolUntil: string) {
  const input = { order: "order 7", coolUntil };
  const { body } = await hub("POST", "/strands/waiting/run", { body: { input } });
  const stepOf = async (name: string) => {
    const run = (await hub("GET", `/runs/${body.runId}`)).body;
    return (run.steps as Body[]).find(({ step }) => step === name);
  };
  return {
    runId: String(body.runId),
    until: (name: string, expected: object) =>
      expect.poll(() => stepOf(name), { timeout: 40_000 }).toMatchObject(expected),
  };
}

describe("a workflow that waits", () => {
  test("sleeps, takes a signal, asks a person, and goes on with what they said", async ({
    hub,
    queue,
  }) => {
    const ada = await makeToken(hub, "ada", ["read", "run"]);
    const bob = await makeToken(hub, "bob", ["read", "run"]);
    const coolUntil = new Date(Date.now() + 1_500).toISOString();
    const { runId, until } = await start(hub, coolUntil);
    await until("paid", {
      state: "suspended",
      waitingReason: { code: "signal", event: "paid", key: "order 7" },
    });
    const wrong = await hub("POST", "/signals/paid", { body: { key: "order 8" } });
    expect(wrong).toMatchObject({ status: 202, body: { waiting: 0, otherKeys: ["order 7"] } });
    const sent = await hub("POST", "/signals/paid", {
      body: { key: "order 7", data: { cents: 950 } },
    });
    expect(sent).toMatchObject({ status: 202, body: { waiting: 1, otherKeys: [] } });
    await until("ship", { state: "suspended", waitingReason: { code: "approval" } });

    const list = (await hub("GET", "/approvals", { token: ada })).body.data as Body[];
    expect(list).toMatchObject([
      {
        ...{ runId, step: "ship", title: "Ship the order?", state: "pending", mayDecide: true },
        ...{ shown: { order: "order 7", paid: 950 }, who: ["ada"] },
        inputSchema: { properties: { express: { type: "boolean" } } },
      },
    ]);
    const [{ id, digest } = {} as Body] = list;
    const decide = (body: object, token = ada) =>
      hub("POST", `/approvals/${id}/decide`, {
        body: { decision: "approved", digest, ...body },
        token,
      });
    expect((await hub("GET", `/jobs/${id}/explain`)).body).toMatchObject({
      code: "approval",
      holds: [{ code: "approval", fix: `loom approve ${id}` }],
    });
    expect(await decide({}, bob)).toMatchObject({
      status: 403,
      body: { code: "APPROVAL_NOT_YOURS" },
    });
    expect(await decide({ input: { express: "yes" } })).toMatchObject({
      status: 422,
      body: { code: "INVALID_INPUT", errors: [{ path: "input.express" }] },
    });
    expect(await decide({ digest: "0".repeat(64) })).toMatchObject({
      status: 409,
      body: { code: "APPROVAL_CHANGED" },
    });
    const decided = await decide({ note: "go", input: { express: true } });
    expect(decided).toMatchObject({
      status: 200,
      body: { state: "approved", decidedBy: "token ada", note: "go", input: { express: true } },
    });
    expect(await decide({ note: "go", input: { express: true } })).toEqual(decided);
    expect(await decide({ decision: "rejected" })).toMatchObject({
      status: 409,
      body: { code: "APPROVAL_DECIDED" },
    });
    await until("label", {
      state: "succeeded",
      result: { cooled: coolUntil, cents: 950, express: true, by: "token ada" },
    });
    const { requests } = await queue.listRequests();
    expect(requests).toContainEqual(
      expect.objectContaining({ who: "token ada", action: "decideApproval" }),
    );
    expect(await queue.verify()).toEqual([]);
  });

  test("fails when its schema refuses the signal", async ({ hub, queue }) => {
    await hub("POST", "/signals/paid", { body: { key: "order 7", data: { cents: 0 } } });
    const { runId, until } = await start(hub, new Date().toISOString());
    await until("paid", {
      state: "failed",
      error: {
        code: "SIGNAL_INVALID",
        message: expect.stringContaining("schema refuses the signal: cents: "),
      },
    });
    expect((await hub("GET", `/approvals?state=all&runId=${runId}`)).body.data).toEqual([]);
    expect(await queue.verify()).toEqual([]);
  });

  test("refuses what is no signal", async ({ hub }) => {
    const reader = await makeToken(hub, "reader", ["read"]);
    expect(await hub("POST", "/signals/paid", { token: reader })).toMatchObject({
      status: 403,
      body: { code: "SCOPE_MISSING" },
    });
    expect(await hub("POST", "/signals/Paid!")).toMatchObject({
      status: 422,
      body: { code: "INVALID_REQUEST" },
    });
    const longer = { data: "x".repeat(300_000) };
    expect(await hub("POST", "/signals/paid", { body: longer })).toMatchObject({
      status: 413,
      body: { code: "INPUT_TOO_LARGE" },
    });
    expect(
      await hub("POST", "/approvals/99/decide", {
        body: { decision: "approved", digest: "0".repeat(64) },
      }),
    ).toMatchObject({ status: 404, body: { code: "APPROVAL_NOT_FOUND" } });
    expect(
      await hub("POST", "/jobs", {
        body: {
          jobs: [
            {
              workflow: "waiting",
              step: "paid",
              input: { order: "1", coolUntil: "2026-01-01T00:00:00Z" },
            },
          ],
        },
      }),
    ).toMatchObject({ status: 422, body: { code: "INVALID_REQUEST" } });
  });
});
