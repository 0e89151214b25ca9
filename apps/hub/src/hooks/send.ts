import { createHmac } from "node:crypto";
import type { AttemptOutcome } from "@loom/queue";
import { sendEmail, statusOf } from "./email.ts";
import type { Message } from "./message.ts";
import { type Answer, postJson } from "./post.ts";
import type { Target } from "./targets.ts";

/** How long one attempt may take. */
const ATTEMPT_MS = 10_000;
/** How much of an answer is kept. */
const ANSWER_BYTES = 200;

/** Sends a message once. It never throws: the outcome says what went wrong. */
export async function sendMessage(
  target: Target,
  message: Message,
  { signal, timeoutMs = ATTEMPT_MS }: { signal: AbortSignal; timeoutMs?: number },
): Promise<AttemptOutcome> {
  const startedAt = performance.now();
  const limit = AbortSignal.timeout(timeoutMs);
  const options = { signal: AbortSignal.any([signal, limit]) };
  const { promise: isOver, reject: end } = Promise.withResolvers<never>();
  const onAbort = () => end(options.signal.reason);
  options.signal.addEventListener("abort", onAbort, { once: true });
  const keep = (text: string) => beginningOf(withoutSecrets(text, target));
  // Not everything can be stopped, such as the look-up of a name. The hook's next message does not wait for it.
  const orOver = <Result>(sent: Promise<Result>) => Promise.race([sent, isOver]);
  try {
    options.signal.throwIfAborted();
    if (target.kind === "email") {
      const { status, answer } = await orOver(sendEmail(target, message, options));
      return { tookMs: performance.now() - startedAt, status, answer: keep(answer) };
    }
    const { status, answer, retryAfterMs } = await orOver(post(target, message, options));
    const error = problemOf(status);
    const tookMs = performance.now() - startedAt;
    return { tookMs, status, answer: keep(answer), error, ...(error && { retryAfterMs }) };
  } catch (thrown) {
    const { message: what, response } = thrown as Error & { response?: string };
    return {
      tookMs: performance.now() - startedAt,
      status: statusOf(response),
      answer: response === undefined ? undefined : keep(response),
      error: limit.aborted ? `no answer within ${timeoutMs / 1_000} s` : keep(what) || "it failed",
    };
  } finally {
    options.signal.removeEventListener("abort", onAbort);
  }
}

type WebTarget = Exclude<Target, { kind: "email" }>;

function post(
  target: WebTarget,
  message: Message,
  { signal }: { signal: AbortSignal },
): Promise<Answer> {
  switch (target.kind) {
    case "webhook": {
      const body = webhookBody(message);
      const headers = sign(body, { id: message.id, secret: target.secret });
      return postJson(target.url, body, { headers, signal });
    }
    case "ntfy": {
      const { url, topic } = splitTopic(target.url);
      const headers = target.token ? { authorization: `Bearer ${target.token}` } : {};
      return postJson(url, JSON.stringify(ntfyBody(message, topic)), { headers, signal });
    }
    case "slack":
      return postJson(target.url, JSON.stringify({ text: slackText(message) }), { signal });
  }
}

/** The body of a webhook, in the form that Standard Webhooks recommends. */
const webhookBody = ({ rule, at, hook, title, text, link, facts }: Message): string =>
  JSON.stringify({
    type: rule,
    timestamp: at.toISOString(),
    data: { hook, title, text, ...(link !== undefined && { link }), ...facts },
  });

/**
 * The headers of Standard Webhooks: an id that stays, the time of this attempt, and the signature of both with the body.
 *
 * @see https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
function sign(body: string, { id, secret }: { id: string; secret: string }) {
  const timestamp = Math.floor(Date.now() / 1_000);
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return {
    "webhook-id": id,
    "webhook-timestamp": String(timestamp),
    "webhook-signature": `v1,${signature}`,
  };
}

/** ntfy takes JSON at the root of the server, with the topic in it. So no text becomes a header. */
function splitTopic(address: string): { url: string; topic: string } {
  const url = new URL(address);
  const at = url.pathname.lastIndexOf("/") + 1;
  const topic = url.pathname.slice(at);
  url.pathname = url.pathname.slice(0, at);
  return { url: url.href, topic };
}

/** @see https://docs.ntfy.sh/publish/#publish-as-json */
const ntfyBody = ({ rule, title, text, link }: Message, topic: string) => {
  const isGood = rule === "run.recovered" || rule === "test";
  return {
    topic,
    title,
    message: text,
    priority: isGood ? 3 : 4,
    tags: [isGood ? "white_check_mark" : rule === "approval.asked" ? "raised_hand" : "warning"],
    ...(link !== undefined && { click: link }),
  };
};

/** @see https://docs.slack.dev/messaging/formatting-message-text */
const slackText = ({ title, text, link }: Message): string =>
  [`*${escapeSlack(title)}*`, escapeSlack(text), ...(link ? [`<${link}|Open in Loom>`] : [])].join(
    "\n",
  );

const escapeSlack = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function problemOf(status: number): string | undefined {
  if (status >= 200 && status < 300) return undefined;
  if (status >= 300 && status < 400) {
    return `it answered ${status}, and redirects are not followed: give the hook the new address`;
  }
  return `it answered ${status}`;
}

/** The shortest part of an address that may be a secret of its own. */
const SECRET_PART = 10;

/** An answer may repeat what it was sent, also a part of the address alone. */
function withoutSecrets(text: string, target: Target): string {
  return secretsOf(target)
    .filter((secret) => secret.length > 3)
    .sort((one, other) => other.length - one.length)
    .reduce((shown, secret) => shown.replaceAll(secret, "[secret]"), text);
}

function secretsOf(target: Target): string[] {
  if (target.kind === "email") {
    const { user = "", password } = target;
    if (password === undefined) return [];
    // A mail server that repeats the command that it does not like repeats them so.
    const sent = [password, `\0${user}\0${password}`].map((text) =>
      Buffer.from(text).toString("base64"),
    );
    return [password, ...sent];
  }
  const { pathname, search, searchParams } = new URL(target.url);
  const parts = [
    ...pathname.split("/"),
    ...search.slice(1).split(/[&=]/),
    ...searchParams.values(),
  ];
  const given = target.kind === "webhook" ? target.secret : target.kind === "ntfy" && target.token;
  return [
    ...[target.url, pathname.slice(1), search],
    ...parts.filter((part) => part.length >= SECRET_PART),
    ...(given ? [given] : []),
  ];
}

/**
 * The beginning of a text, without a part of a character at its end. A target could move the cursor of a terminal that
 * shows its answer, so that has no control characters.
 */
const beginningOf = (text: string): string =>
  Buffer.from(text.replaceAll(/\p{C}/gu, " "))
    .subarray(0, ANSWER_BYTES)
    .toString("utf8")
    .replace(/\ufffd+$/, "");
