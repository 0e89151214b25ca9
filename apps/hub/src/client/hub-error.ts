import type { Problem } from "./shapes.ts";

/** The hub refused a request, or could not answer it. */
export class HubError extends Error {
  override readonly name = "HubError";
  readonly status: number;
  /** Stable, such as `RUN_NOT_FOUND`; `UNREADABLE_ANSWER` when what answered is no hub. */
  readonly code: string;
  readonly problem: Problem | undefined;
  /** What the hub's log calls the request. */
  readonly requestId: string | undefined;
  constructor(answer: Response, problem: Problem | undefined) {
    super(problem ? problem.detail : `HTTP ${answer.status}, and no problem document`);
    this.status = answer.status;
    this.code = problem?.code ?? "UNREADABLE_ANSWER";
    this.problem = problem;
    this.requestId = answer.headers.get("x-request-id") ?? undefined;
  }
}

/** What an answer that is not a good one says. */
export async function toHubError(answer: Response): Promise<HubError> {
  const isProblem = answer.headers.get("content-type")?.startsWith("application/problem+json");
  return new HubError(answer, isProblem ? ((await answer.json()) as Problem) : undefined);
}
