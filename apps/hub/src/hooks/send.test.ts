import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type ServerResponse } from "node:http";
import { type AddressInfo, createServer as createTcpServer } from "node:net";
import { text } from "node:stream/consumers";
import { SMTPServer } from "smtp-server";
import { Webhook } from "standardwebhooks";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Message } from "./message.ts";
import { createSeal } from "./seal.ts";
import { sendMessage } from "./send.ts";
import { completeTarget, openTarget, sealTarget, type Target } from "./targets.ts";

const { signal } = new AbortController();

const message: Message = {
  id: "0b9c2f6e-3f5e-4f0a-9a37-5d6f2a3b4c5d",
  rule: "run.failed",
  hook: "chat",
  at: new Date("2026-11-30T02:31:00Z"),
  title: "train <a&b> failed",
  text: "Step fit failed: out of memory — ✗",
  link: "http://oracle.tail1234.ts.net:3000/runs/4f",
  facts: { workflow: "train", run: "4f" },
};

interface Received {
  method: string | undefined;
  path: string | undefined;
  headers: IncomingHttpHeaders;
  body: string;
}

/** A server that keeps what it receives, and answers as it is given. */
async function startReceiver(
  answer: (response: ServerResponse, received: Received) => void = (response) =>
    response.writeHead(200).end("ok"),
) {
  const received: Received[] = [];
  const server = createServer((request, response) => {
    const { method, url: path, headers } = request;
    void text(request).then((body) => {
      const one = { method, path, headers, body };
      received.push(one);
      answer(response, one);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, received };
}

describe("a webhook", () => {
  test("is signed so that the library of Standard Webhooks accepts it, and only with its secret", async () => {
    const { url, received } = await startReceiver();
    const { target, secret = "" } = completeTarget({ kind: "webhook", url: `${url}/loom` });
    const outcome = await sendMessage(target, message, { signal });
    expect(outcome).toMatchObject({ status: 200, answer: "ok", error: undefined });
    const [{ headers, body, path, method }] = received as [Received];
    expect([method, path]).toEqual(["POST", "/loom"]);
    const signed = headers as Record<string, string>;
    expect(new Webhook(secret).verify(body, signed)).toEqual({
      type: "run.failed",
      timestamp: "2026-11-30T02:31:00.000Z",
      data: {
        hook: "chat",
        title: message.title,
        text: message.text,
        link: message.link,
        workflow: "train",
        run: "4f",
      },
    });
    expect(headers["webhook-id"]).toBe(message.id);
    expect(() => new Webhook(secret).verify(`${body} `, signed)).toThrow(/signature/i);
    const other = completeTarget({ kind: "webhook", url }).secret ?? "";
    expect(() => new Webhook(other).verify(body, signed)).toThrow(/signature/i);
  });

  test("can have a secret that was given", async () => {
    const { url, received } = await startReceiver();
    const secret = `whsec_${Buffer.alloc(24, 7).toString("base64")}`;
    const { target, secret: made } = completeTarget({ kind: "webhook", url, secret });
    expect(made).toBeUndefined();
    await sendMessage(target, message, { signal });
    const [{ headers, body }] = received as [Received];
    new Webhook(secret).verify(body, headers as Record<string, string>);
  });
});

describe("an answer", () => {
  const send = async (
    answer: (response: ServerResponse, received: Received) => void,
    options: { timeoutMs?: number } = {},
  ) => {
    const { url } = await startReceiver(answer);
    const target = { kind: "slack", url: `${url}/services/T0/B0/verysecret` } as const;
    return sendMessage(target, message, { signal, ...options });
  };

  test("that is an error is kept, in 200 bytes, with when to try again", async () => {
    const outcome = await send((response) =>
      response.writeHead(429, { "retry-after": "30" }).end(`${"é".repeat(150)}`),
    );
    expect(outcome).toMatchObject({ status: 429, error: "it answered 429", retryAfterMs: 30_000 });
    expect(outcome.answer).toBe("é".repeat(100));
  });

  test("that sends on is not followed", async () => {
    const elsewhere = await startReceiver();
    const outcome = await send((response) =>
      response.writeHead(302, { location: elsewhere.url }).end(),
    );
    expect(outcome.status).toBe(302);
    expect(outcome.error).toContain("redirects are not followed");
    expect(elsewhere.received).toEqual([]);
  });

  test("that repeats what it was sent shows no secret", async () => {
    const outcome = await send((response, { path }) =>
      response.writeHead(404).end(`no ${path} here`),
    );
    expect(outcome.answer).toBe("no /[secret] here");
  });

  test("that repeats a part of the address shows none either", async () => {
    const { url } = await startReceiver((response) =>
      response.writeHead(403).end("no token to ken-12345, nor B0-verysecret"),
    );
    const target = { kind: "slack", url: `${url}/T0/B0-verysecret?token=to%20ken-12345` } as const;
    const outcome = await sendMessage(target, message, { signal });
    expect(outcome.answer).toBe("no token [secret], nor [secret]");
  });

  test("has no control characters, which could move the cursor of a terminal", async () => {
    const outcome = await send((response) =>
      response.writeHead(200).end("o\u001b[2Jk\r\n\u009b1m"),
    );
    expect(outcome.answer).toBe("o [2Jk   1m");
  });

  test.for(["0.0005", "1e30", "99999999999999999999", "-1", "0x10", "soon"])(
    "that asks to wait for %s seconds asks for nothing, because the queue takes whole ones",
    async (seconds) => {
      const outcome = await send((response) =>
        response.writeHead(503, { "retry-after": seconds }).end(),
      );
      expect(outcome).toMatchObject({ status: 503, retryAfterMs: undefined });
    },
  );

  test("that changes to another protocol is an error", async () => {
    const outcome = await send(({ socket }) =>
      socket?.write("HTTP/1.1 101 Yes\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"),
    );
    expect(outcome.error).toContain("it answered 101");
  });

  test("that has no end is cut off", async () => {
    const outcome = await send((response) => {
      response.writeHead(200).write("x".repeat(100_000));
    });
    expect(outcome).toMatchObject({ status: 200, answer: "x".repeat(200) });
  });

  test("that does not come is waited for as long as the limit says", async () => {
    const outcome = await send(() => {}, { timeoutMs: 100 });
    expect(outcome.error).toBe("no answer within 0.1 s");
    expect(outcome.tookMs).toBeLessThan(5_000);
  });

  test("that cannot come says why, without the path of the address", async () => {
    const closed = await startClosedPort();
    const url = `http://127.0.0.1:${closed}/services/verysecret`;
    const outcome = await sendMessage({ kind: "slack", url }, message, { signal });
    expect(outcome.error).toContain("ECONNREFUSED");
    expect(JSON.stringify(outcome)).not.toContain("verysecret");
  });

  test.for([
    "http://169.254.169.254/latest",
    "http://2852039166/",
    "http://[fe80::1]/",
    "http://[::ffff:169.254.169.254]/",
    "http://100.100.100.200/latest",
    "http://[fd20:ce::254]/",
  ])("is not asked of an address where clouds serve credentials: %s", async (url) => {
    const outcome = await sendMessage({ kind: "slack", url }, message, { signal });
    expect(outcome.error).toContain("link-local");
    expect(() => completeTarget({ kind: "slack", url })).toThrow(/link-local/);
  });
});

async function startClosedPort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

test("ntfy gets its documented JSON at the root of the server, with the topic and the token", async () => {
  const { url, received } = await startReceiver((response, { body }) => {
    // As the server of ntfy does.
    const { topic, message: said, priority } = JSON.parse(body);
    const isValid =
      /^[-_A-Za-z0-9]{1,64}$/.test(topic) && typeof said === "string" && priority <= 5;
    response.writeHead(isValid ? 200 : 400).end(JSON.stringify({ id: "x", topic }));
  });
  const target = { kind: "ntfy", url: `${url}/behind/ops-4f`, token: "tk_secret" } as const;
  const outcome = await sendMessage(target, message, { signal });
  expect(outcome).toMatchObject({ status: 200, error: undefined });
  const [{ headers, path, body }] = received as [Received];
  expect(path).toBe("/behind/");
  expect(headers.authorization).toBe("Bearer tk_secret");
  expect(JSON.parse(body)).toEqual({
    topic: "ops-4f",
    title: message.title,
    message: message.text,
    priority: 4,
    tags: ["warning"],
    click: message.link,
  });
});

test("Slack gets its documented JSON, with its three characters escaped", async () => {
  const { url, received } = await startReceiver((response, { headers, body }) => {
    // As the server of Slack does.
    const isValid =
      headers["content-type"] === "application/json" && typeof JSON.parse(body).text === "string";
    response.writeHead(isValid ? 200 : 400).end(isValid ? "ok" : "invalid_payload");
  });
  const target = { kind: "slack", url: `${url}/services/T0/B0/x` } as const;
  expect(await sendMessage(target, message, { signal })).toMatchObject({ answer: "ok" });
  expect(JSON.parse(received[0]?.body ?? "")).toEqual({
    text: `*train &lt;a&amp;b&gt; failed*\n${message.text}\n<${message.link}|Open in Loom>`,
  });
});

describe("an e-mail", () => {
  /** A mail server that keeps what it receives; with a password, it wants that of ada. */
  async function startMailServer({ password }: { password?: string } = {}) {
    const mails: { from: string; to: string[]; content: string; isSecure: boolean }[] = [];
    const server = new SMTPServer({
      authOptional: password === undefined,
      // It has a certificate of its own that nobody trusts.
      disabledCommands: ["STARTTLS"],
      allowInsecureAuth: true,
      onAuth: ({ username, password: given }, _, done) =>
        username === "ada" && given === password
          ? done(null, { user: username })
          : done(new Error(`no ${given} of ${username}`)),
      onData(stream, { envelope, secure }, done) {
        void text(stream).then((content) => {
          const from = envelope.mailFrom === false ? "" : (envelope.mailFrom?.address ?? "");
          const to = envelope.rcptTo.map(({ address }) => address);
          mails.push({ from, to, content, isSecure: secure });
          done();
        });
      },
    });
    server.on("error", () => {});
    server.listen(0, "127.0.0.1");
    await once(server.server, "listening");
    onTestFinished(() => new Promise<void>((resolve) => server.close(() => resolve())));
    return { port: (server.server.address() as AddressInfo).port, mails };
  }
  const mail = (server: string, rest: Partial<Extract<Target, { kind: "email" }>> = {}) =>
    ({
      kind: "email",
      server,
      from: "loom@example.org",
      to: ["ada@example.org"],
      ...rest,
    }) as const;

  test("arrives at a mail server, with an id that stays and no header that the text added", async () => {
    const { port, mails } = await startMailServer({ password: "geheim" });
    const target = mail(`smtp://127.0.0.1:${port}`, { user: "ada", password: "geheim" });
    const evil = { ...message, text: "one\r\n.\r\nRCPT TO:<eve@example.org>" };
    const outcome = await sendMessage(target, evil, { signal });
    expect([outcome.status, outcome.error]).toEqual([250, undefined]);
    const [{ from, to, content }] = mails as [(typeof mails)[number]];
    expect([from, to]).toEqual(["loom@example.org", ["ada@example.org"]]);
    expect(content).toContain("From: Loom <loom@example.org>\r\n");
    expect(content).toContain(`Message-ID: <${message.id}@example.org>\r\n`);
    expect(content).toContain("Subject: train <a&b> failed\r\n");
    expect(content).toContain("RCPT TO:<eve@example.org>");
    expect(content).toContain(message.link);
  });

  test("with the wrong password does not arrive, and the outcome does not show it", async () => {
    const { port, mails } = await startMailServer({ password: "geheim" });
    const target = mail(`smtp://127.0.0.1:${port}`, { user: "ada", password: "falsch-geraten" });
    const outcome = await sendMessage(target, message, { signal });
    expect(outcome.status).toBe(535);
    expect(outcome.error).toContain("no [secret] of ada");
    expect(JSON.stringify(outcome)).not.toContain("falsch");
    expect(mails).toEqual([]);
  });

  test("to a server that repeats what it was sent shows no password in base64 either", async () => {
    const server = createTcpServer((socket) => {
      socket.write("220 hello\r\n");
      socket.on("data", (part) =>
        socket.write(
          /^EHLO/.test(String(part)) ? "250-hello\r\n250 AUTH PLAIN\r\n" : `535 not ${part}`,
        ),
      );
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    const target = mail(`smtp://127.0.0.1:${port}`, { user: "ada", password: "geheim" });
    const outcome = await sendMessage(target, message, { signal });
    expect(outcome).toMatchObject({ status: 535, answer: "535 not AUTH PLAIN [secret]" });
    expect(outcome.error).not.toContain(Buffer.from("\0ada\0geheim").toString("base64"));
  });

  test("to a server that says nothing ends with the limit", async () => {
    const silent = createTcpServer(() => {}).listen(0, "127.0.0.1");
    await once(silent, "listening");
    onTestFinished(() => void silent.close());
    const { port } = silent.address() as AddressInfo;
    const target = mail(`smtp://127.0.0.1:${port}`);
    const outcome = await sendMessage(target, message, { signal, timeoutMs: 200 });
    expect(outcome.error).toBe("no answer within 0.2 s");
    expect(outcome.tookMs).toBeLessThan(5_000);
  });

  test("to a server whose answer begins with too many digits arrives without a status", async () => {
    const server = createTcpServer((socket) => {
      socket.write("220 hello\r\n");
      socket.on("data", (part) =>
        socket.write(
          /^DATA/.test(String(part))
            ? "354 go on\r\n"
            : /\r\n\.\r\n$/.test(String(part))
              ? "2999999999999 kept\r\n"
              : "250 fine\r\n",
        ),
      );
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    onTestFinished(() => void server.close());
    const target = mail(`smtp://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const outcome = await sendMessage(target, message, { signal });
    expect(outcome).toMatchObject({ status: undefined, answer: "2999999999999 kept" });
    expect(outcome.error).toBeUndefined();
  });

  test("to a server that is away says so", async () => {
    const target = mail(`smtp://127.0.0.1:${await startClosedPort()}`);
    const outcome = await sendMessage(target, message, { signal });
    expect(outcome.error).toContain("ECONNREFUSED");
  });
});

test("a target is shown without what is secret in it, and comes back from the seal whole", () => {
  const seal = createSeal();
  const targets: Target[] = [
    { kind: "webhook", url: "https://example.org:8443/hook?key=geheim", secret: "whsec_geheim" },
    { kind: "ntfy", url: "https://ntfy.sh/geheim", token: "geheim" },
    { kind: "slack", url: "https://hooks.slack.com/services/geheim" },
    {
      kind: "email",
      server: "smtps://mail.example.org",
      user: "geheim",
      password: "geheim",
      from: "loom@example.org",
      to: ["ada@example.org"],
    },
  ];
  const sealed = targets.map((target) => sealTarget(target, "all", seal));
  expect(sealed.map(({ shown }) => shown.address)).toEqual([
    "https://example.org:8443",
    "https://ntfy.sh",
    "https://hooks.slack.com",
    "smtps://mail.example.org:465",
  ]);
  expect(JSON.stringify(sealed)).not.toContain("geheim");
  expect(sealed.map((one) => openTarget(one.sealed, "all", seal))).toEqual(targets);
});
