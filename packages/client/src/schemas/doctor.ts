import { z } from "zod";

export const diagnosisSchema = z
  .object({
    /** The worst status of the checks. */
    status: z.enum(["ok", "warn", "fail"]),
    checks: z.array(
      z.object({
        name: z.string(),
        /** `skipped`: the check could not be made; the summary says why. */
        status: z.enum(["ok", "warn", "fail", "skipped"]),
        summary: z.string(),
        /** Up to 50 findings, the worst first. */
        findings: z.array(
          z.object({
            status: z.enum(["warn", "fail"]),
            /** The node, job, workflow or part with the problem. */
            subject: z.string(),
            evidence: z.string(),
            fix: z.string(),
          }),
        ),
      }),
    ),
  })
  .meta({ id: "Diagnosis" });
export type Diagnosis = z.output<typeof diagnosisSchema>;
