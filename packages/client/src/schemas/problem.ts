import { z } from "zod";
import { explanationSchema } from "./explain.ts";

/** An RFC 9457 problem document. `code` is stable; `detail` is for people. */
export const problemSchema = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    code: z.string(),
    detail: z.string(),
    hint: z.string().optional(),
    errors: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    suggestions: z.array(z.string()).optional(),
    /** For steps that no node can run: every node with its failures. */
    explanations: z
      .array(z.object({ step: z.string(), explanation: explanationSchema }))
      .optional(),
  })
  .meta({ id: "Problem" });
export type Problem = z.output<typeof problemSchema>;
