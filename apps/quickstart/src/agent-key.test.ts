import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { makeNodeKey } from "@loom/queue";
import { expect, onTestFinished, test } from "vitest";
import { keepAgentKey } from "./agent-key.ts";

/** A hub whose node has these keys, and that answers a join with this status. */
async function startHub({ valid, status = 200 }: { valid: boolean[]; status?: number }) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`);
    request.resume();
    const answers: Record<string, [number, object]> = {
      "/api/loom/nodes/pop-os/keys": [200, { data: valid.map((each) => ({ valid: each })) }],
      "/api/loom/join-tokens": [201, { token: "loomj_x", line: "curl" }],
      "/api/loom/join": [status, { code: "X" }],
    };
    const [code, body] = answers[request.url ?? ""] ?? [404, {}];
    response.writeHead(code).end(JSON.stringify(body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const folder = mkdtempSync(path.join(tmpdir(), "loom-agent-key-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const file = path.join(folder, "agent-key");
  return { asked, file, keep: () => keepAgentKey({ url, token: "abc" }, { node: "pop-os", file }) };
}

test("a node without a valid key joins, and its key is its owner's alone", async () => {
  const { file, keep } = await startHub({ valid: [false] });
  await keep();
  expect(readFileSync(file, "utf8")).toMatch(/^loomn_[\w-]{43}\n$/);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a key that is kept and valid stays", async () => {
  const { asked, file, keep } = await startHub({ valid: [false, true] });
  const key = makeNodeKey();
  writeFileSync(file, key);
  await keep();
  expect(readFileSync(file, "utf8")).toBe(key);
  expect(asked).toEqual(["GET /api/loom/nodes/pop-os/keys"]);
});

// With the refused key, the next start found the other machine's key valid, and its agent was refused without end.
test.for([
  { status: 409, isKept: false },
  { status: 503, isKept: true },
])("a join that ends with $status keeps its key: $isKept", async ({ status, isKept }) => {
  const { file, keep } = await startHub({ valid: [true], status });
  await expect(keep()).rejects.toThrow(`POST /join: ${status} {"code":"X"}`);
  expect(existsSync(file)).toBe(isKept);
});
