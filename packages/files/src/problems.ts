import { ProblemError } from "@loom/http";
import { FileError } from "@loom/worker";
import { StoreError } from "./store.ts";

/** Statuses of what goes wrong with files; for every other code, 422. */
const STATUSES: Readonly<Record<string, number>> = {
  FILE_ELSEWHERE: 409,
  FILE_GONE: 404,
  FILE_NOT_FOUND: 404,
  PART_INVALID: 400,
  PART_OUT_OF_ORDER: 409,
  STORE_FULL: 507,
  STORE_REFUSED: 502,
  STORE_UNAVAILABLE: 503,
  TOO_MANY_UPLOADS: 429,
  UPLOAD_NOT_FOUND: 404,
};

/** The problem for an error of files; every other error as it is. Their messages are ours: what happened, a colon, what to do. */
export function toFileProblem(error: Error): Error {
  if (!(error instanceof FileError || error instanceof StoreError)) return error;
  const { code, message } = error;
  const [detail = "", ...rest] = message.split(": ");
  const title = `${code.slice(0, 1)}${code.slice(1).toLowerCase().replaceAll("_", " ")}`;
  const status = STATUSES[code] ?? 422;
  const hint = rest.join(": ") || "try again";
  return new ProblemError(
    { title, status, code, detail, hint },
    status === 429 ? { "retry-after": "2" } : {},
  );
}
