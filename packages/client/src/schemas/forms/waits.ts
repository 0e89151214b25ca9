import { limits } from "@loom/workflow";
import { z } from "zod";
import { type PageQuery, pageQuery } from "../page.ts";
import { instant, jsonValue, type RequestOf } from "../values.ts";

const approvalState = z.enum(["pending", "approved", "rejected", "timed_out", "cancelled"]);

export const approvalSchema = z
  .object({
    id: z.int().meta({ description: "The job of the step that asks" }),
    runId: z.string(),
    workflow: z.string(),
    step: z.string(),
    state: approvalState,
    title: z.string(),
    shown: z.unknown().meta({ description: "What the step shows; null if that is nothing" }),
    digest: z.string().meta({
      description:
        "Of everything that is shown. Send it with the decision, which is about this and nothing else",
    }),
    who: z.array(z.string()).meta({
      description:
        "The names of tokens, and the logins and tags of the tailnet, that may decide; empty: everybody with the scope run",
    }),
    mayDecide: z.boolean().meta({ description: "Whether the caller may" }),
    inputSchema: z
      .record(z.string(), z.unknown())
      .nullable()
      .meta({ description: "The JSON Schema of the input that an approval brings; null: none" }),
    onTimeout: z.enum(["fail", "approve"]),
    askedAt: instant,
    expiresAt: instant.nullable(),
    decidedAt: instant.nullable(),
    decidedBy: z.string().nullable().meta({ description: "Null also when the time ran out" }),
    note: z.string().nullable(),
    input: z.unknown(),
  })
  .meta({ id: "Approval" });
/** What a step asks a person, and the answer. */
export type Approval = z.output<typeof approvalSchema>;

export const approvalQuery = z.strictObject({
  state: z
    .enum(["pending", "all"])
    .default("pending")
    .meta({ description: "Those that wait for a person, or all" }),
  workflow: z.string().max(100).optional(),
  runId: z.string().max(100).optional(),
  ...pageQuery,
});
export type ApprovalQuery = Omit<z.input<typeof approvalQuery>, keyof PageQuery> & PageQuery;

export const decisionRequest = z.strictObject({
  decision: z.enum(["approved", "rejected"]),
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/, "must be the digest of the approval: 64 hexadecimal digits")
    .meta({ description: "The digest of what was shown" }),
  note: z
    .string()
    .min(1)
    .max(limits.noteLength)
    .regex(/^[^\0]*$/, "must not contain U+0000")
    .optional(),
  input: jsonValue.optional().meta({ description: "What the person typed in; default `{}`" }),
});
/** A person's decision. */
export type DecisionRequest = RequestOf<typeof decisionRequest>;

/** The event of a signal in a path. */
export const signalParams = z.object({
  event: z
    .string()
    .regex(
      /^[a-z0-9][a-z0-9._-]{0,99}$/,
      "must be an event: 1 to 100 of a-z, 0-9, dot, underscore and hyphen, beginning with a letter or digit",
    ),
});

export const signalRequest = z.strictObject({
  key: z
    .string()
    .regex(/^[^\p{Cc}\p{Cs}]{1,300}$/u, "must have 1 to 300 characters, and no control characters")
    .optional()
    .meta({
      description: "What it happened to: steps wait for one key, or for signals without one",
    }),
  data: jsonValue.optional().meta({
    description:
      "What the steps that wait for it get as their result; at most 256 KiB. Default null",
  }),
});
export type SignalRequest = RequestOf<typeof signalRequest>;

export const sentSignalSchema = z
  .object({
    id: z.int(),
    waiting: z.int().meta({
      description:
        "How many steps wait for it, at most 1000 are counted; with none, it is kept for a week",
    }),
    otherKeys: z.array(z.string()).meta({
      description:
        "If none waits for it: keys of the event that steps wait for, five at most; empty text for none",
    }),
  })
  .meta({ id: "SentSignal" });
export type SentSignal = z.output<typeof sentSignalSchema>;
