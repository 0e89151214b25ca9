import { HubError } from "@loom/hub/client";
import type { ReactNode } from "react";
import { isMissing } from "../hub.ts";

/** Says why there is nothing to see, and what to do about it. */
export function Notice({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="notice">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** What is being asked for; seen only when the answer takes long. */
export function Loading() {
  return (
    <div className="loading" role="status">
      <span className="visually-hidden">Loading</span>
      <div className="skeleton" />
      <div className="skeleton" />
      <div className="skeleton" />
    </div>
  );
}

/** Why the hub did not answer as it was asked. */
export function Failure({ error, onRetry }: { error: unknown; onRetry?: () => void }) {
  const { title, detail, hint, code } = describe(error);
  return (
    <div className="notice notice-error" role="alert">
      <h2>{title}</h2>
      <p>{detail}</p>
      {hint && <p className="muted">{hint}</p>}
      {code && <p className="muted mono">{code}</p>}
      {onRetry && (
        <button type="button" onClick={onRetry}>
          Try again
        </button>
      )}
    </div>
  );
}

interface Described {
  title: string;
  detail: string;
  hint?: string | undefined;
  code?: string | undefined;
}

export function describe(error: unknown): Described {
  if (error instanceof HubError) {
    const { problem, code, requestId, message } = error;
    return {
      title: problem?.title ?? "The hub's answer cannot be read",
      detail: message,
      hint: problem?.hint,
      code: requestId === undefined ? code : `${code} · request ${requestId}`,
    };
  }
  return {
    title: "The hub does not answer",
    detail: "It may be restarting, or this machine has lost its way to it.",
    hint: "What you see is what was last known. The page goes on by itself.",
  };
}

/** What an answer became on the page: itself, or what stands in its place. */
export function Answer<Data>({
  asked,
  missing = null,
  children,
}: {
  asked: { data: Data | undefined; error: unknown; reload: () => void };
  /** Shown where the hub has no such thing. */
  missing?: ReactNode;
  children: (data: Data) => ReactNode;
}) {
  const { data, error, reload } = asked;
  if (error !== undefined && missing && isMissing(error)) return missing;
  return (
    <>
      {error !== undefined && <Failure error={error} onRetry={reload} />}
      {data !== undefined ? children(data) : error === undefined && <Loading />}
    </>
  );
}
