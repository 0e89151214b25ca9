import type * as Api from "@opentelemetry/api";

/** A part of a trace while it lasts. */
export interface Span {
  /** What whoever goes on with the work is told; null where nobody traces. */
  readonly traceparent: string | null;
  /** Says more of it, as that becomes known. */
  set(attributes: Attributes): void;
  rename(name: string): void;
}

type Attributes = Readonly<Record<string, string | number>>;

export interface SpanOptions {
  /** The traceparent of what it is a part of; null begins a trace. */
  parent: string | null;
  attributes: Attributes;
  /** When it began, in milliseconds since 1970; default: now. */
  since?: number;
}

/** Follows work from one machine to the next: https://www.w3.org/TR/trace-context */
export interface Tracing {
  /** Does some work as a span, which ends with it. What the work throws is kept with the span. */
  span<Result>(
    name: string,
    options: SpanOptions,
    work: (span: Span) => Promise<Result>,
  ): Promise<Result>;
  /** Does some work as a part of what another process began. */
  within<Result>(traceparent: string | null, work: () => Promise<Result>): Promise<Result>;
}

/** Passes on what it is given, and writes nothing. */
export const untraced: Tracing = {
  span: (_name, { parent }, work) => work({ traceparent: parent, set() {}, rename() {} }),
  within: (_traceparent, work) => work(),
};

/**
 * Tracing over `@opentelemetry/api` where that is installed; `untraced` elsewhere. Spans go where the
 * process's SDK sends them, such as one that `node --import` has set up; without one, nowhere.
 */
export async function openTelemetry(): Promise<Tracing> {
  try {
    return traceOver(await import("@opentelemetry/api"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") return untraced;
    throw error;
  }
}

/** Whether this is the first version of a traceparent, which later ones begin with. */
export const isTraceparent = (text: string): boolean =>
  /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/.test(text);

function traceOver({ context, trace, ROOT_CONTEXT, SpanStatusCode }: typeof Api): Tracing {
  const toContext = (traceparent: string | null): Api.Context => {
    if (traceparent === null || !isTraceparent(traceparent)) return ROOT_CONTEXT;
    const [, traceId = "", spanId = "", flags = ""] = traceparent.split("-");
    const traceFlags = Number.parseInt(flags, 16);
    return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags, isRemote: true });
  };

  return {
    async span(name, { parent, attributes, since }, work) {
      const outer = toContext(parent);
      const span = trace
        .getTracer("loom")
        .startSpan(name, { attributes, ...(since !== undefined && { startTime: since }) }, outer);
      const traceparent = toTraceparent(span.spanContext()) ?? parent;
      try {
        return await context.with(trace.setSpan(outer, span), () =>
          work({
            traceparent,
            set: (more) => void span.setAttributes(more),
            rename: (better) => void span.updateName(better),
          }),
        );
      } catch (error) {
        span.recordException(error as Error);
        span.setStatus({ code: SpanStatusCode.ERROR });
        throw error;
      } finally {
        span.end();
      }
    },
    within: (traceparent, work) => context.with(toContext(traceparent), work),
  };
}

function toTraceparent({ traceId, spanId, traceFlags }: Api.SpanContext): string | undefined {
  const traceparent = `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
  return isTraceparent(traceparent) ? traceparent : undefined;
}
