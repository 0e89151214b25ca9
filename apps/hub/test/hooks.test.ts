import { describe, expect } from "vitest";
import { type Body, TOKEN, test } from "./fixtures.ts";

const target = { kind: "webhook", url: "https://example.org/geheim" };
const mail = {
  kind: "email",
  server: "smtps://mail.example.org:465",
  user: "ada",
  password: "geheim",
  from: "loom@example.org",
  to: ["ada@example.org"],
};

describe("hooks", () => {
  test("are made, read, changed and removed, and no answer, audit entry or row has their secrets", async ({
    call,
    database,
  }) => {
    const made = await call("POST", "/hooks", { name: "chat", rules: ["run.failed"], target });
    expect(made).toMatchObject({
      status: 201,
      body: {
        name: "chat",
        rules: ["run.failed"],
        workflows: [],
        waitingMs: null,
        enabled: true,
        target: { kind: "webhook", address: "https://example.org" },
        createdBy: "bootstrap token",
        secret: expect.stringMatching(/^whsec_/),
      },
    });
    await call("POST", "/hooks", { name: "mail", rules: ["step.waiting"], target: mail });
    const listed = await call("GET", "/hooks");
    expect(listed.body).toMatchObject({
      data: [
        { name: "chat" },
        {
          name: "mail",
          waitingMs: 1_800_000,
          target: { kind: "email", address: "smtps://mail.example.org:465", to: mail.to },
        },
      ],
    });
    const changed = await call("PATCH", "/hooks/mail", {
      rules: ["run.failed", "run.failed"],
      workflows: ["train"],
      enabled: false,
    });
    expect(changed).toMatchObject({
      status: 200,
      body: { rules: ["run.failed"], workflows: ["train"], waitingMs: null, enabled: false },
    });
    expect(changed.body).not.toHaveProperty("secret");
    const turned = await call("PATCH", "/hooks/mail", { target });
    expect(turned.body).toMatchObject({
      target: { kind: "webhook" },
      secret: expect.stringMatching(/^whsec_/),
    });
    expect((await call("GET", "/hooks/mail")).body).toMatchObject({ rules: ["run.failed"] });

    const audit = await call("GET", "/audit");
    expect(audit.body.data).toMatchObject([
      { action: "changeHook", subject: "/api/loom/hooks/mail" },
      { action: "changeHook" },
      { action: "createHook" },
      { action: "createHook" },
    ]);
    const rows = await database.sql`
      select row_to_json(hook)::text as text from public.loom_hooks as hook
      union all select detail from public.loom_event_batches where type = 'request.done'`;
    const everything = JSON.stringify([listed.body, changed.body, audit.body, rows]);
    expect(everything).not.toContain("geheim");
    expect(everything).not.toContain(made.body.secret);

    expect((await call("DELETE", "/hooks/mail")).body).toMatchObject({ name: "mail" });
    for (const [method, path, body] of [
      ["GET", "/hooks/mail"],
      ["DELETE", "/hooks/mail"],
      ["PATCH", "/hooks/mail", { enabled: true }],
      ["POST", "/hooks/mail/test"],
      ["GET", "/hooks/mail/deliveries"],
      ["POST", "/hooks/mail/deliveries/7/redeliver"],
    ] as const) {
      expect(await call(method, path, body)).toMatchObject({
        status: 404,
        body: { code: "HOOK_NOT_FOUND" },
      });
    }
  });

  test("are for administrators to change, for operators to test, and for nobody else", async ({
    app,
    call,
  }) => {
    await call("POST", "/hooks", { name: "chat", rules: ["run.failed"], target });
    const as = async (scope: string) => {
      const { body } = await call("POST", "/tokens", { name: scope, scopes: [scope] });
      return async (method: string, path: string, sent?: unknown) => {
        const headers = {
          authorization: `Bearer ${body.token}`,
          "content-type": "application/json",
        };
        const init = { method, headers, ...(sent !== undefined && { body: JSON.stringify(sent) }) };
        return (await app.request(`/api/loom${path}`, init)).status;
      };
    };
    const operator = await as("operate");
    expect(await operator("GET", "/hooks")).toBe(200);
    expect(await operator("GET", "/hooks/chat/deliveries")).toBe(200);
    expect(await operator("POST", "/hooks/chat/test", {})).toBe(201);
    expect(await operator("POST", "/hooks", { name: "a", rules: ["run.failed"], target })).toBe(
      403,
    );
    expect(await operator("PATCH", "/hooks/chat", { enabled: false })).toBe(403);
    expect(await operator("DELETE", "/hooks/chat")).toBe(403);
    const runner = await as("run");
    expect(await runner("GET", "/hooks")).toBe(403);
    expect(await runner("POST", "/hooks/chat/test", {})).toBe(403);
  });

  test.for<{ title: string; body: Body; path: string; says: string | RegExp; code?: string }>([
    {
      title: "an unknown rule",
      body: { rules: ["run.fails"] },
      path: "rules[0]",
      says: 'must be "run.failed", "run.recovered"',
    },
    {
      title: "an unknown kind of target",
      body: { target: { kind: "pager", url: "https://example.org" } },
      path: "target.kind",
      says: "must be one of webhook, ntfy, slack, email",
    },
    {
      title: "an address that is none",
      body: { target: { ...target, url: "example.org" } },
      path: "target.url",
      says: "must be an address that begins with http:// or https://",
    },
    {
      title: "an address of another protocol",
      body: { target: { ...target, url: "file:///etc/passwd" } },
      path: "target.url",
      says: "must be an address that begins with http:// or https://",
    },
    {
      title: "a line break in an address",
      body: { target: { ...target, url: "https://example.org/\r\nHost: a" } },
      path: "target.url",
      says: "must be an address",
    },
    {
      title: "a password in an address",
      body: { target: { ...target, url: "https://ada:geheim@example.org/" } },
      path: "target.url",
      says: "must not contain a user name or password",
    },
    {
      title: "an address that is too long",
      body: { target: { ...target, url: `https://example.org/${"x".repeat(2_000)}` } },
      path: "target.url",
      says: "must have at most 2000 characters",
    },
    {
      title: "a secret that is too short",
      body: { target: { ...target, secret: "whsec_AAAA" } },
      path: "target.secret",
      says: "must be whsec_ and 24 to 64 bytes as base64",
    },
    {
      title: "ntfy without a topic",
      body: { target: { kind: "ntfy", url: "https://ntfy.sh/" } },
      path: "target.url",
      says: "must end with a topic",
    },
    {
      title: "a token that no header can carry",
      body: { target: { kind: "ntfy", url: "https://ntfy.sh/a", token: "a\r\nb: c" } },
      path: "target.token",
      says: "has a character that no header can carry",
    },
    {
      title: "a recipient with a header in it",
      body: { target: { ...mail, to: ["ada@example.org\r\nBcc: eve@example.org"] } },
      path: "target.to[0]",
      says: "must be an email address",
    },
    {
      title: "a mail server with a path",
      body: { target: { ...mail, server: "smtp://mail.example.org/x" } },
      path: "target.server",
      says: "must be a server and a port",
    },
    {
      title: "a user without a password",
      body: { target: { ...mail, password: undefined } },
      path: "target.password",
      says: "needs a user, and a user needs a password",
    },
    {
      title: "a name with a line break",
      body: { name: "a\nb" },
      path: "name",
      says: "must have only a-z",
    },
    {
      title: "a name that is too long",
      body: { name: "x".repeat(64) },
      path: "name",
      says: "must have at most 63 characters",
    },
    {
      title: "a workflow with a line break",
      body: { workflows: ["a\nb"] },
      path: "workflows[0]",
      says: "must have only printable characters, in one line",
    },
    {
      title: "a time below a minute",
      body: { rules: ["step.waiting"], waitingMs: 59_999 },
      path: "waitingMs",
      says: "must be at least 60000",
    },
    {
      title: "a time that no rule uses",
      body: { waitingMs: 60_000 },
      path: "waitingMs",
      says: "only step.waiting has a time to wait",
      code: "HOOK_RULES_INVALID",
    },
    {
      title: "lost machines of a workflow",
      body: { rules: ["node.lost"], workflows: ["train"] },
      path: "workflows",
      says: "node.lost concerns no workflow",
      code: "HOOK_RULES_INVALID",
    },
  ])("are refused with $title", async ({ body, path, says, code }, { call }) => {
    const asked = { name: "chat", rules: ["run.failed"], target, ...body };
    const { status, body: problem } = await call("POST", "/hooks", asked);
    expect([status, problem.code]).toEqual([422, code ?? "INVALID_REQUEST"]);
    expect(problem.errors).toMatchObject([
      { path, message: expect.stringContaining(String(says)) },
    ]);
    expect(JSON.stringify(problem)).not.toContain("geheim");
    expect((await call("GET", "/hooks")).body).toEqual({ data: [] });
  });

  test("are refused where clouds serve their machines' credentials, under a name twice, and beyond the limit", async ({
    call,
    database,
  }) => {
    const hook = { name: "chat", rules: ["run.failed"], target };
    const metadata = { ...target, url: "http://169.254.169.254/latest" };
    expect(await call("POST", "/hooks", { ...hook, target: metadata })).toMatchObject({
      status: 422,
      body: { code: "HOOK_TARGET_REFUSED" },
    });
    expect((await call("POST", "/hooks", hook)).status).toBe(201);
    expect(await call("POST", "/hooks", hook)).toMatchObject({
      status: 409,
      body: { code: "HOOK_NAME_TAKEN" },
    });
    await database.sql`
      insert into public.loom_hooks (name, rules, target, sealed, created_by)
      select 'hook-' || n, '{node.lost}', '{}', '', 'ada' from generate_series(1, 49) as n`;
    expect(await call("POST", "/hooks", { ...hook, name: "more" })).toMatchObject({
      status: 409,
      body: { code: "TOO_MANY_HOOKS" },
    });
  });

  test("are tested once for a key, and a message that is still tried is not sent again", async ({
    app,
    call,
  }) => {
    await call("POST", "/hooks", { name: "chat", rules: ["run.failed"], target });
    const once = { "idempotency-key": "k" };
    const first = await call("POST", "/hooks/chat/test", undefined, once);
    expect(first.body).toMatchObject({
      rule: "test",
      title: "Test of chat",
      text: "bootstrap token sent this to see whether it arrives.",
      state: "pending",
    });
    expect((await call("POST", "/hooks/chat/test", undefined, once)).body.id).toBe(first.body.id);
    const { body } = await call("GET", "/hooks/chat/deliveries");
    expect(body).toMatchObject({ data: [{ id: first.body.id }], next: null });
    const again = `/hooks/chat/deliveries/${first.body.id}/redeliver`;
    expect(await call("POST", again)).toMatchObject({
      status: 409,
      body: { code: "DELIVERY_PENDING" },
    });
    expect(await call("POST", "/hooks/chat/deliveries/nope/redeliver")).toMatchObject({
      status: 404,
      body: { code: "DELIVERY_NOT_FOUND" },
    });
    const headers = { authorization: `Bearer ${TOKEN}` };
    const page = await app.request("/api/loom/hooks/chat/deliveries?cursor=x", { headers });
    expect(await page.json()).toMatchObject({ code: "INVALID_CURSOR" });
  });
});
