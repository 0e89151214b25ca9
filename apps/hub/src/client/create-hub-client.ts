import { followStream, type StreamEvent, type StreamOptions } from "./event-source.ts";
import {
  type CallOptions,
  type ChangeOptions,
  createAsk,
  type HubClientOptions,
} from "./request.ts";
import type * as Api from "./shapes.ts";

export interface PageQuery {
  cursor?: string;
  /** 1 to 200, default 50. */
  limit?: number;
}

export interface RunQuery extends PageQuery {
  workflow?: string;
  status?: Api.RunSummary["status"];
  trigger?: Api.RunSummary["trigger"];
  askedBy?: string;
  /** RFC 3339. */
  since?: string;
  until?: string;
}

export interface JobQuery extends PageQuery {
  workflow?: string;
  state?: Api.JobSummary["state"];
  node?: string;
  runId?: string;
}

export interface NewJob {
  workflow: string;
  step: string;
  input?: unknown;
  key?: string;
  host?: string;
  priority?: number;
  delayMs?: number;
  startWithinMs?: number;
}

type Happened = StreamEvent<Api.Event["type"], Api.Event>;
/** What follows happens as it is told. */
type Now = StreamEvent<"now", object>;
/** Too much happened to tell: look anew. */
type Reset = StreamEvent<"reset", object>;

export type HubClient = ReturnType<typeof createHubClient>;

/**
 * The hub's API as functions, one an operation. Needs nothing but `fetch`, so it works in Node
 * and in browsers.
 *
 * Every function throws HubError when the hub refuses, with its stable `code`. What changes something is
 * sent with an `Idempotency-Key`, so that repeating it after a lost answer changes nothing twice.
 */
export function createHubClient(options: HubClientOptions) {
  const ask = createAsk(options);

  const read = async <Shape>(
    path: string,
    query?: object,
    { signal }: CallOptions = {},
  ): Promise<Shape> => {
    const answer = await ask("GET", path, {
      query: query as Record<string, string>,
      ...(signal && { signal }),
    });
    return (await answer.json()) as Shape;
  };

  const change = async <Shape>(
    path: string,
    body?: unknown,
    { signal, idempotencyKey = crypto.randomUUID() }: ChangeOptions = {},
  ): Promise<Shape> => {
    const answer = await ask("POST", path, {
      body,
      headers: { "idempotency-key": idempotencyKey },
      ...(signal && { signal }),
    });
    return (answer.status === 204 ? undefined : await answer.json()) as Shape;
  };

  const at = (...parts: (string | number)[]): string =>
    parts.map((part) => encodeURIComponent(part)).join("/");

  return {
    listStrands: (call?: CallOptions) => read<{ data: Api.StrandSummary[] }>("strands", {}, call),
    getStrand: (workflow: string, call?: CallOptions) =>
      read<Api.Strand>(at("strands", workflow), {}, call),
    startRun: (
      workflow: string,
      body: { input?: unknown; key?: string; allowUnsatisfiable?: boolean } = {},
      call?: ChangeOptions,
    ) => change<Api.PlannedRun>(at("strands", workflow, "run"), body, call),
    pauseStrand: (workflow: string, body: { note?: string } = {}, call?: ChangeOptions) =>
      change<void>(at("strands", workflow, "pause"), body, call),
    resumeStrand: (workflow: string, call?: ChangeOptions) =>
      change<void>(at("strands", workflow, "resume"), undefined, call),

    listRuns: (query: RunQuery = {}, call?: CallOptions) =>
      read<Api.Page<Api.RunSummary>>("runs", query, call),
    getRun: (id: string, call?: CallOptions) => read<Api.Run>(at("runs", id), {}, call),
    cancelRun: (id: string, call?: ChangeOptions) =>
      change<{ status: Api.Run["status"] }>(at("runs", id, "cancel"), undefined, call),
    retryRun: (
      id: string,
      body: ({ mode?: "all" | "failed" } | { mode: "from"; step: string }) & {
        allowUnsatisfiable?: boolean;
      } = {},
      call?: ChangeOptions,
    ) => change<Api.PlannedRun>(at("runs", id, "retry"), body, call),
    rerunRun: (
      id: string,
      body: { input?: unknown; allowUnsatisfiable?: boolean } = {},
      call?: ChangeOptions,
    ) => change<Api.PlannedRun>(at("runs", id, "rerun"), body, call),

    listJobs: (query: JobQuery = {}, call?: CallOptions) =>
      read<Api.Page<Api.JobSummary>>("jobs", query, call),
    getJob: (id: number, call?: CallOptions) => read<Api.Job>(at("jobs", id), {}, call),
    /** Why it runs where it does, or does not run, as things are now. */
    explainJob: (id: number, query: { node?: string } = {}, call?: CallOptions) =>
      read<Api.JobExplanation>(at("jobs", id, "explain"), query, call),
    /** Which node would take a step that requires this, and why no other. */
    async explain(
      body: {
        requires?: readonly string[];
        host?: string;
        prefers?: readonly { clause: string; weight: number }[];
      },
      { signal }: CallOptions = {},
    ) {
      const answer = await ask("POST", "explain", { body, ...(signal && { signal }) });
      return (await answer.json()) as Api.Explanation;
    },
    addJobs: (
      jobs: readonly NewJob[],
      { allowUnsatisfiable, ...call }: ChangeOptions & { allowUnsatisfiable?: boolean } = {},
    ) => change<{ jobs: Api.AddedJob[] }>("jobs", { jobs, allowUnsatisfiable }, call),
    cancelJob: (id: number, call?: ChangeOptions) =>
      change<{ answer: "cancelled" | "requested" | "finished" }>(
        at("jobs", id, "cancel"),
        undefined,
        call,
      ),
    redriveJob: (id: number, call?: ChangeOptions) =>
      change<{ id: number }>(at("jobs", id, "redrive"), undefined, call),
    getJobLog: (id: number, query: { offset?: number; fence?: number } = {}, call?: CallOptions) =>
      read<Api.Log>(at("jobs", id, "logs"), query, call),

    listNodes: (call?: CallOptions) => read<{ data: Api.Node[] }>("nodes", {}, call),
    getNode: (name: string, call?: CallOptions) => read<Api.Node>(at("nodes", name), {}, call),
    /** A pause ends by itself after `forMs`; a drain lets what runs go on for as long, and then stops it. */
    steerNode: (
      name: string,
      verb: "pause" | "drain" | "resume",
      body: { note?: string; forMs?: number } = {},
      call?: ChangeOptions,
    ) => change<unknown>(at("nodes", name, verb), body, call),

    listSchedules: (call?: CallOptions) => read<{ data: Api.Schedule[] }>("schedules", {}, call),
    getSchedule: (id: string, call?: CallOptions) =>
      read<Api.Schedule>(at("schedules", id), {}, call),
    listScheduleSlots: (id: string, query: PageQuery = {}, call?: CallOptions) =>
      read<Api.Page<Api.ScheduleSlot>>(at("schedules", id, "slots"), query, call),
    /** Also while it is paused, or another run goes on. */
    triggerSchedule: (
      id: string,
      body: { allowUnsatisfiable?: boolean } = {},
      call?: ChangeOptions,
    ) => change<Api.PlannedRun>(at("schedules", id, "trigger"), body, call),
    pauseSchedule: (id: string, body: { note?: string } = {}, call?: ChangeOptions) =>
      change<void>(at("schedules", id, "pause"), body, call),
    resumeSchedule: (id: string, call?: ChangeOptions) =>
      change<void>(at("schedules", id, "resume"), undefined, call),

    /**
     * `request.done` only for those who may operate. With `pastMs` (up to an hour) what happened before
     * comes first, and then `now`.
     */
    streamEvents: ({
      pastMs = 0,
      ...stream
    }: StreamOptions & { pastMs?: number } = {}): AsyncGenerator<Happened | Now | Reset, void> =>
      followStream(ask, pastMs > 0 ? `events?pastMs=${pastMs}` : "events", stream),
    /** Begins with `snapshot`, unless it goes on `after` an event; ends when the run is finished. */
    streamRunEvents: (
      id: string,
      stream: StreamOptions = {},
    ): AsyncGenerator<StreamEvent<"snapshot", Api.Run> | Happened | Reset, void> =>
      followStream(ask, at("runs", id, "events"), stream),
    /** Ends when the job is finished. */
    streamJobLog: (
      id: number,
      stream: StreamOptions = {},
    ): AsyncGenerator<StreamEvent<"log", Api.Log>, void> =>
      followStream(ask, at("jobs", id, "logs", "stream"), stream),

    getDoctor: (call?: CallOptions) => read<Api.Diagnosis>("doctor", {}, call),
    /** Pinging takes up to 20 s. */
    getMesh: (query: { ping?: boolean } = {}, call?: CallOptions) =>
      read<Api.Mesh>("mesh", query, call),

    listAudit: (query: PageQuery = {}, call?: CallOptions) =>
      read<Api.Page<Api.AuditEntry>>("audit", query, call),
    listTokens: (call?: CallOptions) => read<{ data: Api.Token[] }>("tokens", {}, call),
    /** Its secret is in this answer and nowhere else. */
    async createToken(body: {
      name: string;
      scopes: readonly Api.Scope[];
      expiresInDays?: number;
    }) {
      const answer = await ask("POST", "tokens", { body });
      return (await answer.json()) as Api.Token & { token: string };
    },
    async revokeToken(id: string) {
      return (await (await ask("DELETE", at("tokens", id))).json()) as Api.Token;
    },

    getSession: (call?: CallOptions) => read<Api.Session>("session", {}, call),
    /** Logs this browser in with the client's token. */
    async openSession() {
      return (await (await ask("POST", "session")).json()) as Api.Session;
    },
    async closeSession() {
      await ask("DELETE", "session");
    },
  };
}

/** Everything of a list, page by page: `for await (const run of everyPage(hub.listRuns, { status: "failed" }))`. */
export async function* everyPage<Item, Query extends PageQuery>(
  list: (query: Query) => Promise<Api.Page<Item>>,
  query: Query,
): AsyncGenerator<Item, void> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page: Api.Page<Item> = await list(cursor === undefined ? query : { ...query, cursor });
    yield* page.data;
    cursor = page.next;
  }
}
