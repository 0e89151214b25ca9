import { describe, expect } from "vitest";
import { sayHello, test } from "./fixtures.ts";

describe("POST /nodes/{name}/{pause,drain,resume}", () => {
  test.for([
    { verb: "pause", body: { note: "gaming", forMs: 3_600_000 }, status: "paused" },
    { verb: "drain", body: { forMs: 60_000 }, status: "draining" },
    { verb: "drain", body: undefined, status: "draining" },
    { verb: "resume", body: undefined, status: "active" },
  ])("$verb makes the node $status", async ({ verb, body, status }, { call, queue }) => {
    const session = await sayHello(queue, "forge");
    await queue.setNodeStatus("forge", { status: "paused" });
    expect(await call("POST", `/nodes/forge/${verb}`, body)).toMatchObject({
      status: 200,
      body: { status, returned: 0 },
    });
    expect(await queue.heartbeat(session)).toMatchObject({ status });
    expect(await queue.listNodes()).toMatchObject([{ status, statusNote: body?.note ?? null }]);
  });

  test.for([
    { path: "/nodes/nobody/pause", body: {}, status: 404, code: "NODE_NOT_FOUND" },
    { path: "/nodes/No%20Name/pause", body: {}, status: 404, code: "NODE_NOT_FOUND" },
    { path: "/nodes/forge/stop", body: {}, status: 422, code: "INVALID_REQUEST" },
    { path: "/nodes/forge/pause", body: { forMs: -1 }, status: 422, code: "INVALID_REQUEST" },
    { path: "/nodes/forge/resume", body: { note: "a" }, status: 422, code: "INVALID_ARGUMENT" },
  ])("answers $path with $code", async ({ path, body, status, code }, { call, queue }) => {
    await sayHello(queue, "forge");
    expect(await call("POST", path, body)).toMatchObject({ status, body: { code } });
    expect(await queue.listNodes()).toMatchObject([{ status: "active" }]);
  });
});
