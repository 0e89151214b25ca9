import { z } from "@hono/zod-openapi";

export const doctorView = z
  .object({
    /** The worst of the checks. */
    status: z.enum(["ok", "warn", "fail"]),
    checks: z.array(
      z.object({
        name: z.string(),
        /** `skipped`: it could not be asked; the summary says why. */
        status: z.enum(["ok", "warn", "fail", "skipped"]),
        summary: z.string(),
        /** The worst first, up to 50. */
        findings: z.array(
          z.object({
            status: z.enum(["warn", "fail"]),
            /** The node, job, workflow or part that it is about. */
            subject: z.string(),
            evidence: z.string(),
            fix: z.string(),
          }),
        ),
      }),
    ),
  })
  .openapi("Diagnosis");

export type Diagnosis = z.output<typeof doctorView>;
