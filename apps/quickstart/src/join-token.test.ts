import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { expect, onTestFinished, test } from "vitest";
import { makeJoinToken } from "./join-token.ts";

const LINE = "curl -fsS http://pi.tail1234.ts.net:3000/join | LOOM_JOIN_TOKEN=loomj_x sh";

/** A hub that answers with this status, and keeps what it was asked. */
async function startHub(status: number) {
  const asked: unknown[] = [];
  const server = createServer((request, response) => {
    const { method, url, headers } = request;
    response.writeHead(status, { "content-type": "application/json" });
    void json(request).then((body) => {
      asked.push({ method, url, token: headers.authorization, body });
      response.end(
        JSON.stringify(status === 201 ? { line: LINE, token: "loomj_x" } : { code: "X" }),
      );
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

test("asks the hub for a token, and the line with which one machine joins", async () => {
  const { asked, url } = await startHub(201);
  expect(await makeJoinToken({ url, token: "abc" })).toEqual({ line: LINE, token: "loomj_x" });
  expect(asked).toEqual([
    { method: "POST", url: "/api/loom/join-tokens", token: "Bearer abc", body: {} },
  ]);
});

test("says what the hub answered when it makes no token", async () => {
  const { url } = await startHub(503);
  await expect(makeJoinToken({ url, token: "abc" })).rejects.toThrow('503 {"code":"X"}');
});
