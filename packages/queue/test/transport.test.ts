import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createQueue, type Queue } from "@loom/queue";
import { createHttpQueue } from "@loom/queue/http";
import { createClient } from "@supabase/supabase-js";
import { describe, expect, onTestFinished, test } from "vitest";

const queues: Record<string, (url: string, timeoutMs?: number) => Queue> = {
  "supabase-js": (url, timeoutMs = 10_000) =>
    createQueue({
      client: createClient(url, "key", { auth: { persistSession: false } }),
      timeoutMs,
    }),
  HTTP: (url, timeoutMs = 10_000) => createHttpQueue({ url, key: "key", timeoutMs }),
};

/** The address of an API that answers every call the same way, from a real socket. */
async function apiAnswering(
  answer: (respond: (status: number, body: unknown) => void, drop: () => void) => void,
): Promise<string> {
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
  return `http://127.0.0.1:${port}`;
}

describe.for(Object.entries(queues))("a queue over %s", ([, queueAt]) => {
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
    // What PostgREST did not write is no refusal of its.
    ...[401, 403, 404, 400, 511].map((status) => ({
      title: `a page with status ${status}`,
      answer: [status, "<html><h1>Please log in to this network</h1></html>"] as const,
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    })),
    {
      title: "an empty object with status 401",
      answer: [401, {}],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "an empty body with status 403",
      answer: [403, ""],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a null with status 403",
      answer: [403, "null"],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "an empty body in place of an answer",
      answer: [200, ""],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a firewall that speaks JSON",
      answer: [403, { code: "POLICY_DENIED", message: "blocked by policy" }],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a code that is a number",
      answer: [403, { code: 42501, message: "forbidden" }],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a key that is valid in a second",
      answer: [401, { code: "PGRST303", message: "JWT issued at future" }],
      code: "QUEUE_UNAVAILABLE",
      reason: "server",
    },
    {
      title: "a role that may not call the function",
      answer: [403, { code: "42501", message: "permission denied" }],
      code: "QUEUE_ACCESS",
    },
    {
      title: "a key that Supabase's gateway does not know",
      answer: [401, { message: "Invalid API key", hint: "Double check your Supabase API key." }],
      code: "QUEUE_ACCESS",
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
    const url = await apiAnswering((respond, drop) => {
      if (answer === "drop") drop();
      else if (answer !== "nothing") respond(answer[0], answer[1]);
    });
    const reason = "reason" in rest ? { reason: rest.reason } : {};
    const queue = queueAt(url, answer === "nothing" ? 200 : undefined);
    await expect(queue.listNodes()).rejects.toMatchObject({ code, ...reason });
  });

  test.for([
    { title: "a project over its quota", answer: [402, "exceed_egress_quota"], advice: /quota/ },
    {
      title: "a paused project",
      answer: [540, "<h1>Project paused</h1>"],
      advice: /paused.*restore/,
    },
    {
      title: "a project whose disk is full",
      answer: [405, { code: "25006", message: "cannot execute UPDATE in a read-only transaction" }],
      advice: /read-only/,
    },
    {
      title: "a captive portal",
      answer: [403, "<h1>Please log in</h1>"],
      advice: /a network that requires a login.*browser/,
    },
  ] as const)("says what to do about $title", async ({ answer, advice }) => {
    const url = await apiAnswering((respond) => respond(answer[0], answer[1]));
    await expect(queueAt(url).listNodes()).rejects.toMatchObject({
      code: "QUEUE_UNAVAILABLE",
      advice: expect.stringMatching(advice),
      message: expect.stringMatching(advice),
    });
  });

  test.for([502, 503, 504, 520, 521, 522, 523, 524, 544])(
    "has nothing to advise about a gateway's %i, which passes",
    async (status) => {
      const url = await apiAnswering((respond) => respond(status, "upstream connect error"));
      await expect(queueAt(url).listNodes()).rejects.toMatchObject({
        code: "QUEUE_UNAVAILABLE",
        advice: undefined,
      });
    },
  );
});

test("says what to do about a host name that has no address", async () => {
  // As fetch says it; what a real look-up comes to depends on the machine's network.
  const cause = Object.assign(new Error("getaddrinfo ENOTFOUND a.invalid"), {
    code: "ENOTFOUND",
  });
  const fetch = () => Promise.reject(new TypeError("fetch failed", { cause }));
  const queue = createQueue({
    client: createClient("http://a.invalid", "key", { global: { fetch } }),
  });
  await expect(queue.listNodes()).rejects.toMatchObject({
    code: "QUEUE_UNAVAILABLE",
    reason: "network",
    advice: expect.stringMatching(/SUPABASE_URL/),
  });
});
