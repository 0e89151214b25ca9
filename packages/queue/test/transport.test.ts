import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createQueue } from "@loom/queue";
import { createClient } from "@supabase/supabase-js";
import { describe, expect, onTestFinished, test } from "vitest";

/** A queue whose API answers every call the same way, from a real socket. */
async function queueAnswered(
  answer: (respond: (status: number, body: unknown) => void, drop: () => void) => void,
) {
  const server = createServer((request, response) => {
    request.resume();
    answer(
      (status, body) =>
        response
          .writeHead(status, { "content-type": "application/json" })
          .end(typeof body === "string" ? body : JSON.stringify(body)),
      () => request.socket.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  const client = createClient(`http://127.0.0.1:${port}`, "key", {
    auth: { persistSession: false },
  });
  return createQueue({ client, timeoutMs: 200 });
}

describe("createQueue", () => {
  test.for([
    {
      title: "a connection that breaks",
      answer: "drop",
      code: "QUEUE_UNAVAILABLE",
      reason: "network",
    },
    { title: "silence", answer: "nothing", code: "QUEUE_UNAVAILABLE", reason: "timeout" },
    {
      title: "a gateway without its server",
      answer: [502, { message: "no server" }],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a PostgREST that lost Postgres in the middle of a call",
      answer: [400, { code: "", details: null, hint: null, message: "" }],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a lock that was not given",
      answer: [500, { code: "55P03", message: "lock timeout" }],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "too many requests",
      answer: [429, { message: "slow down" }],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a wrong key",
      answer: [401, { code: "PGRST301", message: "JWSError" }],
      code: "QUEUE_ACCESS",
    },
    {
      title: "a database without Loom",
      answer: [404, { code: "PGRST202", message: "no function" }],
      code: "QUEUE_SCHEMA",
    },
    {
      title: "a function with a namesake",
      answer: [300, { code: "PGRST203", message: "could not choose" }],
      code: "QUEUE_SCHEMA",
    },
    { title: "an answer of another version", answer: [200, { surprise: 1 }], code: "QUEUE_SCHEMA" },
    {
      title: "a page in place of an answer",
      answer: [200, "<h1>Welcome to the hotel</h1>"],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a gateway that does not know the way",
      answer: [404, ""],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a server that is read-only for now",
      answer: [405, { code: "25006", message: "cannot execute UPDATE in a read-only transaction" }],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a gateway that takes no more bytes",
      answer: [413, "<h1>Payload Too Large</h1>"],
      code: "INVALID_ARGUMENT",
    },
    {
      title: "a refused argument",
      answer: [400, { code: "PT400", message: "no", details: "INVALID_ARGUMENT" }],
      code: "INVALID_ARGUMENT",
    },
  ] as const)("turns $title into $code", async ({ answer, code, ...rest }) => {
    const queue = await queueAnswered((respond, drop) => {
      if (answer === "drop") drop();
      else if (answer !== "nothing") respond(answer[0], answer[1]);
    });
    const reason = "reason" in rest ? { reason: rest.reason } : {};
    await expect(queue.listNodes()).rejects.toMatchObject({ code, ...reason });
  });
});
