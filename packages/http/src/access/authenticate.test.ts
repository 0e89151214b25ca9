import { timingSafeEqual } from "node:crypto";
import { type ApiToken, digestOf, makeToken } from "@loom/queue";
import { Hono } from "hono";
import { describe, expect, test, vi } from "vitest";
import { ProblemError, respondProblem } from "../problem.ts";
import { authenticate, type Identity } from "./authenticate.ts";
import { createTokenMemory } from "./tokens.ts";

// Spied on, not replaced: that it is asked at all is what keeps the comparison constant in time.
vi.mock("node:crypto", { spy: true });

// The cookie's name for a hub that is asked without a port and has no id.
const COOKIE = "loom_session_c7757c0896cb";
const TOKEN = "correct-horse-battery";
const CI = makeToken();
const SESSION = makeToken();

const stored = (rest: Partial<ApiToken>): ApiToken => ({
  id: "1",
  name: "ci",
  scopes: ["read"],
  isSession: false,
  root: "ci",
  bootstrap: null,
  createdBy: null,
  createdAt: new Date(),
  expiresAt: null,
  lastUsedAt: null,
  revokedAt: null,
  ...rest,
});
const known = new Map([
  [digestOf(CI), stored({})],
  [
    digestOf(SESSION),
    stored({ id: "2", name: "session of token ada", root: "ada", isSession: true }),
  ],
]);

interface Asked {
  token?: string | undefined;
  method?: string;
  url?: string;
  headers?: Record<string, string>;
  person?: Identity;
}

/** Returns the caller of a request with these headers, or the status of its refusal. */
async function ask({
  token,
  method = "GET",
  url = "http://localhost:3000/",
  headers = {},
  person,
}: Asked) {
  const app = new Hono();
  app.onError((error, c) => {
    if (error instanceof ProblemError) return respondProblem(c, error.problem);
    throw error;
  });
  app.all("/", async (c) => {
    const tokens = createTokenMemory(async (digest) => known.get(digest) ?? null);
    const tailnet = person && (async () => person);
    return c.text(
      (await authenticate(c, { token, tokens, tailnet, databaseId: async () => "" })).who,
    );
  });
  const answer = await app.request(url, { method, headers });
  return answer.status === 200 ? answer.text() : answer.status;
}

describe("a bearer token", () => {
  test.for([`Bearer ${TOKEN}`, `bearer ${TOKEN}`, `BEARER  ${TOKEN}`])(
    "of the environment is let in as %j",
    async (authorization) => {
      expect(await ask({ token: TOKEN, headers: { authorization } })).toBe("bootstrap token");
    },
  );

  test("of the database is let in, also by a hub that has no other", async () => {
    const headers = { authorization: `Bearer ${CI}` };
    expect(await ask({ token: TOKEN, headers })).toBe("token ci");
    expect(await ask({ headers })).toBe("token ci");
  });

  test.for([
    "Bearer",
    "Bearer ",
    TOKEN,
    `Basic ${TOKEN}`,
    `Basic ${btoa(`loom:${TOKEN}`)}`,
    `Bearer ${TOKEN} ${TOKEN}`,
    `Bearer ${TOKEN.slice(0, -1)}`,
    `Bearer ${TOKEN}x`,
    `Bearer ${TOKEN.toUpperCase()}`,
    "Bearer undefined",
    `XBearer ${TOKEN}`,
    `Bearer ${makeToken()}`,
    // A session's secret is for the cookie alone.
    `Bearer ${SESSION}`,
  ])("is refused as %j", async (authorization) => {
    expect(await ask({ token: TOKEN, headers: { authorization } })).toBe(401);
    // A caller with a wrong token is not admitted because of its address.
    expect(await ask({ headers: { authorization } })).toBe(401);
  });

  test.for(["x", TOKEN.slice(0, -1), `${TOKEN}${TOKEN}`])(
    "is compared in constant time, whatever its length: %j",
    async (given) => {
      vi.mocked(timingSafeEqual).mockClear();
      await ask({ token: TOKEN, headers: { authorization: `Bearer ${given}` } });
      const [[one, two] = []] = vi.mocked(timingSafeEqual).mock.calls;
      expect([one?.byteLength, two?.byteLength]).toEqual([32, 32]);
    },
  );

  test("is wanted where there is one, also of this machine", async () => {
    expect(await ask({ token: TOKEN })).toBe(401);
  });
});

describe("a session's cookie", () => {
  const cookie = `${COOKIE}=${SESSION}`;

  test.for([
    { method: "GET", headers: {} },
    { method: "GET", headers: { "sec-fetch-site": "none" } },
    { method: "POST", headers: { "sec-fetch-site": "same-origin" } },
    { method: "POST", headers: { origin: "http://localhost:3000" } },
    {
      method: "DELETE",
      headers: { origin: "http://localhost:3000", "sec-fetch-site": "same-origin" },
    },
  ])("allows $method with $headers", async ({ method, headers }) => {
    expect(await ask({ token: TOKEN, method, headers: { cookie, ...headers } })).toBe(
      "session of token ada",
    );
  });

  test.for([
    { method: "POST", headers: {} },
    { method: "POST", headers: { "sec-fetch-site": "none" } },
    { method: "POST", headers: { "sec-fetch-site": "cross-site" } },
    { method: "POST", headers: { "sec-fetch-site": "same-site" } },
    { method: "POST", headers: { origin: "http://localhost:8080" } },
    { method: "POST", headers: { origin: "http://evil.example" } },
    { method: "POST", headers: { origin: "null" } },
    { method: "POST", headers: { origin: "http://evil.example", "sec-fetch-site": "same-origin" } },
    { method: "GET", headers: { "sec-fetch-site": "cross-site" } },
    { method: "GET", headers: { origin: "http://evil.example" } },
  ])("is refused for $method with $headers", async ({ method, headers }) => {
    expect(await ask({ token: TOKEN, method, headers: { cookie, ...headers } })).toBe(403);
  });

  test.for([`${COOKIE}=${CI}`, `${COOKIE}=`, `${COOKIE}=${TOKEN}`, `${COOKIE}=x`])(
    "is nothing else than a session: %j",
    async (other) => {
      const headers = { cookie: other, "sec-fetch-site": "same-origin" };
      expect(await ask({ token: TOKEN, headers })).toBe(401);
    },
  );
});

describe("a person of the tailnet", () => {
  const person: Identity = {
    who: "ada@example.org",
    subject: "ada@example.org",
    scopes: ["read"],
    tokenId: null,
    isBootstrap: false,
    isSession: false,
    expiresAt: null,
  };

  test("is let in without a token, but not through another site's page", async () => {
    expect(await ask({ token: TOKEN, person, method: "POST" })).toBe("ada@example.org");
    const headers = { "sec-fetch-site": "cross-site" };
    expect(await ask({ token: TOKEN, person, method: "POST", headers })).toBe(403);
  });
});

describe("a hub without a token", () => {
  test.for([
    { url: "http://localhost/" },
    { url: "http://localhost:3000/" },
    { url: "http://LocalHost:3000/" },
    { url: "http://127.0.0.1:3000/" },
    { url: "http://127.8.0.1:3000/" },
    { url: "http://[::1]:3000/" },
    { headers: { origin: "http://localhost:3000", "sec-fetch-site": "same-origin" } },
    { headers: { "sec-fetch-site": "none" } },
  ])("lets in %j", async (asked) => {
    expect(await ask(asked)).toBe("this machine");
  });

  test.for<Asked>([
    { url: "http://loom.example:3000/" },
    { url: "http://127.0.0.1.loom.example/" },
    { url: "http://localhost.loom.example:3000/" },
    { url: "http://192.168.1.2:3000/" },
    { url: "http://0.0.0.0:3000/" },
    { headers: { origin: "http://loom.example" } },
    { headers: { origin: "http://localhost:8080" } },
    { headers: { origin: "null" } },
    { headers: { "sec-fetch-site": "cross-site" } },
    { headers: { "sec-fetch-site": "same-site" } },
    // A proxy on this machine comes from loopback for everybody behind it.
    { headers: { "x-forwarded-for": "203.0.113.9" } },
    { headers: { forwarded: "for=203.0.113.9" } },
  ])("refuses %j", async (asked) => {
    expect(await ask(asked)).toBe(403);
  });
});
