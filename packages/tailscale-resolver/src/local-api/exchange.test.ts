import { describe, expect, test } from "vitest";
import { startFakeLocalApi } from "../testing/fake-local-api.ts";
import type { Endpoint } from "./endpoint.ts";
import { exchange } from "./exchange.ts";

const nobody: Endpoint[] = [
  { socketPath: "/nonexistent/tailscaled.sock" },
  { port: 1, token: "x" },
];

const ask = (places: Endpoint[]) =>
  exchange({
    places: () => places,
    method: "GET",
    path: "status",
    timeoutMs: 5_000,
    signal: undefined,
  });

describe("exchange", () => {
  test("sends the password that the macOS apps require", async () => {
    await using app = await startFakeLocalApi({}, { token: "2f8e0aa41" });
    expect(await ask([{ port: app.port, token: "2f8e0aa41" }])).toMatchObject({ status: 200 });
    expect(app.requests).toHaveLength(1);
  });

  test("reports an outdated password as a lack of permission", async () => {
    await using app = await startFakeLocalApi({}, { token: "2f8e0aa41" });
    const stale = ask([{ port: app.port, token: "77aa01" }]);
    await expect(stale).rejects.toMatchObject({
      code: "NO_PERMISSION",
      message: expect.not.stringContaining("77aa01"),
    });
  });

  test("tries the next address when nothing listens, since apps leave their files behind", async () => {
    await using daemon = await startFakeLocalApi();
    const { status } = await ask([...nobody, { socketPath: daemon.socketPath }]);
    expect(status).toBe(200);
  });

  test("does not ask another daemon when the first one aborts its answer", async () => {
    await using first = await startFakeLocalApi({ status: (response) => response.destroy() });
    await using second = await startFakeLocalApi();
    const places = [{ socketPath: first.socketPath }, { socketPath: second.socketPath }];
    await expect(ask(places)).rejects.toMatchObject({ code: "BAD_RESPONSE" });
    expect(second.requests).toHaveLength(0);
  });

  test("stops at the first address that listens", async () => {
    await using first = await startFakeLocalApi({
      status: (response) => void response.writeHead(500).end(),
    });
    await using second = await startFakeLocalApi();
    const { status } = await ask([
      { socketPath: first.socketPath },
      { socketPath: second.socketPath },
    ]);
    expect(status).toBe(500);
    expect(second.requests).toHaveLength(0);
  });

  test("names the last address it tried when nothing listens", async () => {
    await expect(ask(nobody)).rejects.toMatchObject({
      code: "DAEMON_ABSENT",
      message: expect.stringContaining("127.0.0.1:1"),
    });
  });
});
