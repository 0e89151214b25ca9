import type * as Api from "@opentelemetry/api";

/** A span under way. */
export interface Span {
  /** The traceparent for work that continues elsewhere; null without tracing. */
  readonly traceparent: string | null;
  /** Adds attributes. */
  set(attributes: Attributes): void;
  rename(name: string): void;
}

type Attributes = Readonly<Record<string, string | number>>;

export interface SpanOptions {
  /** The parent's traceparent; null begins a trace. */
  parent: string | null;
  attributes: Attributes;
  /** Its start, in milliseconds since 1970. Default: now. */
  since?: number;
}

/** Traces work across machines: https://www.w3.org/TR/trace-context */
export interface Tracing {
  /** Runs work in a span that ends with it. The span records an error of the work. */
  span<Result>(
    name: string,
    options: SpanOptions,
    work: (span: Span) => Promise<Result>,
  ): Promise<Result>;
  /** Runs work as a child of a span of another process. */
  within<Result>(traceparent: string | null, work: () => Promise<Result>): Promise<Result>;
}

/** Passes each traceparent on and writes no spans. */
export const untraced: Tracing = {
  span: (_name, { parent }, work) => work({ traceparent: parent, set() {}, rename() {} }),
  within: (_traceparent, work) => work(),
};

/**
 * Tracing over `@opentelemetry/api` where that is installed; `untraced` elsewhere. The SDK
 * of the process sends the spans, such as one that `node --import` has set up. Without one, they go nowhere.
 */
export async function openTelemetry(): Promise<Tracing> {
  try {
    return traceOver(await import("@opentelemetry/api"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ERR_MODULE_NOT_FOUND") return untraced;
    throw error;
  }
}

/** Whether the text is a traceparent of version 00. */
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
