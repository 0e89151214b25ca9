import { limits } from "@loom/workflow";
import { hookRules } from "@loom/workflow/hook-rules";
import { z } from "zod";
import { instant, type RequestOf } from "./values.ts";

const hookRule = z.enum(hookRules).meta({ id: "HookRule" });
/** What a hook sends messages about. */
export type HookRule = z.output<typeof hookRule>;

/** Text in one line: it cannot add a header to a message. */
const oneLine = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .regex(/^\P{C}*$/u, "must have only printable characters, in one line");

/** Says what is wrong with an address, or undefined. */
function problemOf(text: string, protocols: readonly string[]): string | undefined {
  const examples = protocols.map((protocol) => `${protocol}//`).join(" or ");
  // The parser drops line breaks and tabs.
  const url = /^[!-~]+$/.test(text) && URL.canParse(text) ? new URL(text) : undefined;
  if (!url || !protocols.includes(url.protocol) || url.hostname === "") {
    return `must be an address that begins with ${examples}`;
  }
  if (url.username || url.password) {
    return "must not contain a user name or password: addresses end up in logs";
  }
  return undefined;
}

const address = (protocols: readonly string[], isMore: (url: URL) => string | undefined) =>
  z
    .string()
    .max(2_000)
    .superRefine((text, context) => {
      const message = problemOf(text, protocols) ?? isMore(new URL(text));
      if (message) context.addIssue({ code: "custom", message });
    });

const HTTP = ["http:", "https:"];
const webAddress = address(HTTP, () => undefined);
const topicAddress = address(HTTP, ({ pathname, search }) =>
  /\/[-\w]{1,64}$/.test(pathname) && search === ""
    ? undefined
    : "must end with a topic, as in https://ntfy.sh/my-topic",
);
const mailServer = address(["smtp:", "smtps:"], ({ pathname, search }) =>
  /^\/?$/.test(pathname) && search === ""
    ? undefined
    : "must be a server and a port, as in smtps://mail.example.org:465",
);

const SECRET = /^whsec_(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
/** A secret of Standard Webhooks has 24 to 64 bytes. */
const webhookSecret = z
  .string()
  .refine(
    (text) => SECRET.test(text) && text.length >= 38 && text.length <= 94,
    "must be whsec_ and 24 to 64 bytes as base64",
  );

const targets = {
  webhook: z.strictObject({
    kind: z.literal("webhook"),
    url: webAddress,
    /** Left out, the hub makes one, and only the answer to this request contains it. */
    secret: webhookSecret.optional(),
  }),
  ntfy: z.strictObject({
    kind: z.literal("ntfy"),
    url: topicAddress,
    /** An access token of the server. */
    token: z
      .string()
      .max(500)
      .regex(/^[!-~]+$/, "has a character that no header can carry")
      .optional(),
  }),
  slack: z.strictObject({ kind: z.literal("slack"), url: webAddress }),
  email: z
    .strictObject({
      kind: z.literal("email"),
      /** `smtps:` speaks TLS from the start; `smtp:` changes to it where the server can. */
      server: mailServer,
      user: oneLine(300).optional(),
      password: oneLine(1_000).optional(),
      from: z.email().max(300),
      to: z.array(z.email().max(300)).min(1).max(10),
    })
    .refine(({ user, password }) => (user === undefined) === (password === undefined), {
      path: ["password"],
      message: "needs a user, and a user needs a password",
    }),
};
const target = z
  .discriminatedUnion("kind", [targets.webhook, targets.ntfy, targets.slack, targets.email], {
    error: ({ code }) =>
      code === "invalid_union" ? `must be one of ${Object.keys(targets).join(", ")}` : undefined,
  })
  .meta({ id: "HookTargetRequest" });
/** Where a hook sends its messages. */
export type HookTargetRequest = RequestOf<typeof target>;

const settings = {
  /** Empty: it sends only for the workflows that name it (`notify`). */
  rules: z
    .array(hookRule)
    .max(hookRules.length)
    .transform((given) => [...new Set(given)]),
  /** Only for these workflows. Left out or empty: for all. */
  workflows: z
    .array(oneLine(limits.nameLength))
    .max(100)
    .transform((given) => [...new Set(given)]),
  /** For `step.waiting`: how long a step waits before a message is sent. Default 30 minutes. */
  waitingMs: z.int().min(60_000).max(604_800_000),
  enabled: z.boolean(),
  target,
};

const hookName = z
  .string()
  .max(limits.nodeNameLength)
  .regex(
    /^[a-z0-9][a-z0-9._-]*$/,
    "must have only a-z, 0-9, dots, underscores and hyphens, and begin with a letter or digit",
  );

export const hookRequest = z.strictObject({
  name: hookName,
  rules: settings.rules,
  workflows: settings.workflows.optional(),
  waitingMs: settings.waitingMs.optional(),
  enabled: settings.enabled.optional(),
  target,
});
export type HookRequest = RequestOf<typeof hookRequest>;

/** What is left out stays as it is. A target is given whole, with its secrets. */
export const hookChangeRequest = z
  .strictObject({
    rules: settings.rules,
    workflows: settings.workflows,
    waitingMs: settings.waitingMs,
    enabled: settings.enabled,
    target,
  })
  .partial();
export type HookChangeRequest = RequestOf<typeof hookChangeRequest>;

export const deliverySchema = z
  .object({
    /** The same at every attempt. A webhook gets it as `webhook-id`. */
    id: z.string(),
    hook: z.string(),
    rule: z.union([hookRule, z.literal("test")]),
    /** The run, workflow, job, node or schedule that it is about. */
    subject: z.string(),
    /** The message. */
    title: z.string(),
    text: z.string(),
    state: z.enum(["pending", "delivered", "failed"]),
    attempts: z.int(),
    /** When the next attempt follows. */
    nextAt: instant.nullable(),
    createdAt: instant,
    /** When the newest attempt began; the rest says how it ended. */
    sentAt: instant.nullable(),
    status: z.int().nullable(),
    tookMs: z.int().nullable(),
    /** The beginning of the answer. */
    answer: z.string().nullable(),
    error: z.string().nullable(),
  })
  .meta({ id: "Delivery" });
/** A message of a hook, and what became of it. */
export type Delivery = z.output<typeof deliverySchema>;

/** A target without its secrets. Of an address, only scheme, host and port are shown: a path can be a secret. */
const shownTarget = z.object({
  kind: z.enum(["webhook", "ntfy", "slack", "email"]),
  address: z.string(),
  from: z.string().optional(),
  to: z.array(z.string()).optional(),
});
/** What the API shows of a target. */
export type ShownTarget = z.output<typeof shownTarget>;

export const hookSchema = z
  .object({
    name: z.string(),
    rules: z.array(hookRule),
    /** Empty: every workflow. */
    workflows: z.array(z.string()),
    waitingMs: z.int().nullable(),
    enabled: z.boolean(),
    target: shownTarget,
    /** Messages that are still to be sent. */
    pending: z.int(),
    /** Messages that were never kept, because too many were pending. */
    dropped: z.int(),
    lastDelivery: deliverySchema.nullable(),
    createdBy: z.string(),
    createdAt: instant,
  })
  .meta({ id: "Hook" });
/** Who is notified of what. */
export type Hook = z.output<typeof hookSchema>;

export const changedHookSchema = z
  .object({
    ...hookSchema.shape,
    /** The secret that the hub made for a webhook. No other answer contains it. */
    secret: z.string().optional(),
  })
  .meta({ id: "ChangedHook" });
export type ChangedHook = z.output<typeof changedHookSchema>;
