import { HubError } from "@loom/client";
import type { ReactNode } from "react";
import { isMissing } from "../hub.ts";

/** Says why there is nothing to show, and what to do about it. */
export function Notice({ title, children }: { title: string; children?: ReactNode }) {
  return (
    <div className="notice">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Shown in place of what an older hub does not have. */
export const NotOffered = () => (
  <Notice title="This hub does not offer it">
    <p>A newer hub does; the rest of this page works with both.</p>
  </Notice>
);

/** A placeholder for a response; visible only when the response takes long. */
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

/** Why a request failed. */
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
      title: problem?.title ?? "The hub's response cannot be read",
      detail: message,
      hint: problem?.hint,
      code: requestId === undefined ? code : `${code} · request ${requestId}`,
    };
  }
  return {
    title: "The hub does not answer",
    detail: "It may be restarting, or this machine cannot reach it.",
    hint: "The page shows the last known state and reconnects by itself.",
  };
}

/** Shows a response, or in its place the error, the loading placeholder or `missing`. */
export function Loaded<Data>({
  query,
  missing = null,
  children,
}: {
  query: { data: Data | undefined; error: unknown; reload: () => void };
  /** Shown if the hub answers 404. */
  missing?: ReactNode;
  children: (data: Data) => ReactNode;
}) {
  const { data, error, reload } = query;
  if (error !== undefined && missing && isMissing(error)) return missing;
  return (
    <>
      {error !== undefined && <Failure error={error} onRetry={reload} />}
      {data !== undefined ? children(data) : error === undefined && <Loading />}
    </>
  );
}
