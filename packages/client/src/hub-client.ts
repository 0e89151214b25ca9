import type { WorkflowName } from "@loom/workflow";
import { followStream, type StreamEvent, type StreamOptions } from "./event-stream.ts";
import {
  type CallOptions,
  type ChangeOptions,
  createSend,
  type HubClientOptions,
} from "./request.ts";
import type { Diagnosis } from "./schemas/doctor.ts";
import type { AuditEntry, Event, Summary } from "./schemas/events.ts";
import type { ExplainRequest, Explanation, JobExplanation } from "./schemas/explain.ts";
import type {
  Approval,
  ApprovalQuery,
  DecisionRequest,
  SentSignal,
  SignalRequest,
} from "./schemas/forms/waits.ts";
import type {
  ChangedHook,
  Delivery,
  Hook,
  HookChangeRequest,
  HookRequest,
} from "./schemas/hooks.ts";
import type {
  AddedJob,
  CancelledJob,
  Item,
  ItemQuery,
  Job,
  JobQuery,
  JobSummary,
  Log,
  NewJob,
} from "./schemas/jobs.ts";
import type { Mesh } from "./schemas/mesh.ts";
import type {
  AllowedOffers,
  AllowRequest,
  Node,
  NodeKey,
  NodeVerb,
  RemovedNode,
  RevokedNodeKey,
  Steered,
  SteerRequest,
  UpgradeOrdered,
} from "./schemas/nodes.ts";
import type { Page, PageQuery } from "./schemas/page.ts";
import type {
  BeginUploadRequest,
  CancelledRun,
  PlannedRun,
  RerunRequest,
  RetryRequest,
  Run,
  RunFile,
  RunQuery,
  RunSummary,
  StartRequest,
  StoredFile,
  Upload,
} from "./schemas/runs.ts";
import type { Schedule, ScheduleSlot, TriggerRequest } from "./schemas/schedules.ts";
import type { Strand, StrandList } from "./schemas/strands.ts";
import type {
  JoinToken,
  JoinTokenRequest,
  NewJoinToken,
  NewToken,
  OpenSession,
  Session,
  Token,
  TokenRequest,
} from "./schemas/tokens.ts";
import type { PauseRequest } from "./schemas/values.ts";

type QueueEvent = StreamEvent<Event["type"], Event>;
/** Separates past events, which come first, from events as they happen. */
type Now = StreamEvent<"now", object>;
/** Events are missing: read the current state again. */
type Reset = StreamEvent<"reset", object>;
/** Nothing follows. */
type End<Data = object> = StreamEvent<"end", Data>;

export type HubClient = ReturnType<typeof createHubClient>;

/**
 * Creates a client of the hub's API with one function an operation. It needs only `fetch`, so it
 * works in Node and in browsers.
 *
 * Every function throws HubError, with a stable `code`, when the hub refuses. Requests that change
 * something carry an `Idempotency-Key`, so a retry after a lost answer changes nothing twice.
 */
export function createHubClient(options: HubClientOptions) {
  const send = createSend(options);

  const read = async <Shape>(
    path: string,
    query?: object,
    { signal }: CallOptions = {},
  ): Promise<Shape> => {
    const answer = await send("GET", path, {
      query: query as Record<string, string>,
      ...(signal && { signal }),
    });
    return (await answer.json()) as Shape;
  };

  const change = async <Shape>(
    path: string,
    body?: unknown,
    { signal, idempotencyKey = makeKey() }: ChangeOptions = {},
  ): Promise<Shape> => {
    const answer = await send("POST", path, {
      body,
      headers: { "idempotency-key": idempotencyKey },
      ...(signal && { signal }),
    });
    return (answer.status === 204 ? undefined : await answer.json()) as Shape;
  };

  return {
    listStrands: (call?: CallOptions) => read<StrandList>("strands", {}, call),
    getStrand: (workflow: string, call?: CallOptions) =>
      read<Strand>(at("strands", workflow), {}, call),
    startRun: (workflow: WorkflowName, body: StartRequest = {}, call?: ChangeOptions) =>
      change<PlannedRun>(at("strands", workflow, "run"), body, call),
    pauseStrand: (workflow: string, body: PauseRequest = {}, call?: ChangeOptions) =>
      change<void>(at("strands", workflow, "pause"), body, call),
    resumeStrand: (workflow: string, call?: ChangeOptions) =>
      change<void>(at("strands", workflow, "resume"), undefined, call),

    listRuns: (query: RunQuery = {}, call?: CallOptions) =>
      read<Page<RunSummary>>("runs", query, call),
    getRun: (id: string, call?: CallOptions) => read<Run>(at("runs", id), {}, call),
    cancelRun: (id: string, call?: ChangeOptions) =>
      change<CancelledRun>(at("runs", id, "cancel"), undefined, call),
    retryRun: (id: string, body: RetryRequest = {}, call?: ChangeOptions) =>
      change<PlannedRun>(at("runs", id, "retry"), body, call),
    rerunRun: (id: string, body: RerunRequest = {}, call?: ChangeOptions) =>
      change<PlannedRun>(at("runs", id, "rerun"), body, call),

    listJobs: (query: JobQuery = {}, call?: CallOptions) =>
      read<Page<JobSummary>>("jobs", query, call),
    getJob: (id: number, call?: CallOptions) => read<Job>(at("jobs", id), {}, call),
    /** Lists the items of a step that maps over a list, in the list's order. */
    listItems: (id: number, query: ItemQuery = {}, call?: CallOptions) =>
      read<Page<Item>>(at("jobs", id, "items"), query, call),
    /** Explains why a job runs on its node, or does not run, with the current nodes. */
    explainJob: (id: number, query: { node?: string } = {}, call?: CallOptions) =>
      read<JobExplanation>(at("jobs", id, "explain"), query, call),
    /**
     * Returns the node that would take a step with these requirements, and why others would not.
     */
    async explain(body: ExplainRequest, { signal }: CallOptions = {}) {
      const answer = await send("POST", "explain", { body, ...(signal && { signal }) });
      return (await answer.json()) as Explanation;
    },
    addJobs: (
      jobs: readonly NewJob[],
      { allowUnsatisfiable, ...call }: ChangeOptions & { allowUnsatisfiable?: boolean } = {},
    ) => change<{ jobs: AddedJob[] }>("jobs", { jobs, allowUnsatisfiable }, call),
    cancelJob: (id: number, call?: ChangeOptions) =>
      change<CancelledJob>(at("jobs", id, "cancel"), undefined, call),
    redriveJob: (id: number, call?: ChangeOptions) =>
      change<{ id: number }>(at("jobs", id, "redrive"), undefined, call),
    /** Reads a job's output from a byte on, or its last lines with `tail`. */
    getJobLog: (
      id: number,
      query: { offset?: number; tail?: number; fence?: number } = {},
      call?: CallOptions,
    ) => read<Log>(at("jobs", id, "logs"), query, call),

    /** Lists what steps ask of people, newest first: what is still to be decided or, with `state: "all"`, everything. */
    listApprovals: (query: ApprovalQuery = {}, call?: CallOptions) =>
      read<Page<Approval>>("approvals", query, call),
    /** @param id - The job of the step that asks. */
    getApproval: (id: number, call?: CallOptions) => read<Approval>(at("approvals", id), {}, call),
    /** Decides what a step asks. The digest names what was shown; if that has changed, the hub refuses. */
    decideApproval: (id: number, body: DecisionRequest, call?: ChangeOptions) =>
      change<Approval>(at("approvals", id, "decide"), body, call),
    /** Sends a signal to the steps that wait for it. If none does, it is kept for the next one. */
    sendSignal: (event: string, body: SignalRequest = {}, call?: ChangeOptions) =>
      change<SentSignal>(at("signals", event), body, call),

    listNodes: (call?: CallOptions) => read<{ data: Node[] }>("nodes", {}, call),
    getNode: (name: string, call?: CallOptions) => read<Node>(at("nodes", name), {}, call),
    /** A pause ends by itself after `forMs`. A drain stops running jobs after `forMs`. */
    steerNode: (name: string, verb: NodeVerb, body: SteerRequest = {}, call?: ChangeOptions) =>
      change<Steered>(at("nodes", name, verb), body, call),
    /** Revokes its keys, gives its work back and forgets it. With `force` also while it runs steps. */
    async removeNode(name: string, { force = false }: { force?: boolean } = {}) {
      const query = force ? { force: "true" } : {};
      return (await (await send("DELETE", at("nodes", name), { query })).json()) as RemovedNode;
    },
    /** Newest first, including revoked ones. */
    listNodeKeys: (name: string, call?: CallOptions) =>
      read<{ data: NodeKey[] }>(at("nodes", name, "keys"), {}, call),
    /** The session that it opened ends, and the node's work goes back at once. */
    async revokeNodeKey(name: string, id: string) {
      const answer = await send("DELETE", at("nodes", name, "keys", id));
      return (await answer.json()) as RevokedNodeKey;
    },
    /** Lets a node take the agent that the hub has. */
    upgradeNode: (name: string, call?: ChangeOptions) =>
      change<UpgradeOrdered>(at("nodes", name, "upgrade"), {}, call),
    /** The same for all nodes, one after the other. */
    upgradeNodes: (call?: ChangeOptions) => change<UpgradeOrdered>("nodes/upgrade", {}, call),
    /** Lets a node offer names that it declares. */
    allowOffers: (name: string, body: AllowRequest, call?: ChangeOptions) =>
      change<AllowedOffers>(at("nodes", name, "allow"), body, call),

    listSchedules: (call?: CallOptions) => read<{ data: Schedule[] }>("schedules", {}, call),
    getSchedule: (id: string, call?: CallOptions) => read<Schedule>(at("schedules", id), {}, call),
    listScheduleSlots: (id: string, query: PageQuery = {}, call?: CallOptions) =>
      read<Page<ScheduleSlot>>(at("schedules", id, "slots"), query, call),
    /** Works even if the schedule is paused or another of its runs goes on. */
    triggerSchedule: (id: string, body: TriggerRequest = {}, call?: ChangeOptions) =>
      change<PlannedRun>(at("schedules", id, "trigger"), body, call),
    pauseSchedule: (id: string, body: PauseRequest = {}, call?: ChangeOptions) =>
      change<void>(at("schedules", id, "pause"), body, call),
    resumeSchedule: (id: string, call?: ChangeOptions) =>
      change<void>(at("schedules", id, "resume"), undefined, call),

    /**
     * Streams events as they happen. With `pastMs` (up to an hour) past events come first, and then
     * `now`. `request.done` needs the scope `operate`.
     */
    streamEvents: ({
      pastMs = 0,
      ...stream
    }: StreamOptions & { pastMs?: number } = {}): AsyncGenerator<QueueEvent | Now | Reset, void> =>
      followStream(send, pastMs > 0 ? `events?pastMs=${pastMs}` : "events", stream),
    /**
     * Begins with `snapshot`, unless `after` names an event. Ends with `end`, whose data is the finished run; where it
     * was finished before, only these two come.
     */
    streamRunEvents: (
      id: string,
      stream: StreamOptions = {},
    ): AsyncGenerator<StreamEvent<"snapshot", Run> | QueueEvent | Reset | End<Run>, void> =>
      followStream(send, at("runs", id, "events"), stream),
    /**
     * Ends when the job is finished. After `reset`, the output starts again from its beginning. To
     * continue after a log that was read, pass `<fence>.<next>` of it as `after`.
     */
    streamJobLog: (
      id: number,
      stream: StreamOptions = {},
    ): AsyncGenerator<StreamEvent<"log", Log> | Reset | End, void> =>
      followStream(send, at("jobs", id, "logs", "stream"), stream),

    /** The files that a run has. */
    listRunFiles: (id: string, call?: CallOptions) =>
      read<{ data: RunFile[] }>(at("runs", id, "files"), {}, call),
    /** The content of a file of a run, from a byte on. It is not checked: compare its SHA-256. */
    downloadFile: (
      id: string,
      sha256: string,
      { from = 0, ...call }: CallOptions & { from?: number } = {},
    ): Promise<Response> =>
      send("GET", at("runs", id, "files", sha256), {
        ...call,
        ...(from > 0 && { headers: { range: `bytes=${from}-` } }),
      }),
    /** Begins to send a file for a run that is still to be started: then `sendPart` each part, and `finishUpload`. */
    async beginUpload(body: BeginUploadRequest, call?: CallOptions) {
      return (await (await send("POST", "uploads", { body, ...call })).json()) as Upload;
    },
    async sendPart(id: string, part: number, content: Uint8Array, call?: CallOptions) {
      await send("PUT", at("uploads", id, "parts", part), { content, ...call });
    },
    /** The answer is the file as an input names it. */
    async finishUpload(id: string, call?: CallOptions) {
      return (await (await send("POST", at("uploads", id, "finish"), call)).json()) as StoredFile;
    },

    /** What happened in the last `pastMs`: a day where it is left out, a week at most. */
    getSummary: (query: { pastMs?: number } = {}, call?: CallOptions) =>
      read<Summary>("summary", query, call),
    getDoctor: (call?: CallOptions) => read<Diagnosis>("doctor", {}, call),
    /** A ping takes up to 20 s. */
    getMesh: (query: { ping?: boolean } = {}, call?: CallOptions) =>
      read<Mesh>("mesh", query, call),

    listAudit: (query: PageQuery = {}, call?: CallOptions) =>
      read<Page<AuditEntry>>("audit", query, call),
    listTokens: (call?: CallOptions) => read<{ data: Token[] }>("tokens", {}, call),
    /** Lists the open sessions; `revokeToken` ends one. */
    listSessions: (call?: CallOptions) =>
      read<{ data: OpenSession[] }>("tokens/sessions", {}, call),
    /** Only this answer contains the secret. */
    async createToken(body: TokenRequest) {
      return (await (await send("POST", "tokens", { body })).json()) as NewToken;
    },
    /** Revokes a token or a session. */
    async revokeToken(id: string) {
      return (await (await send("DELETE", at("tokens", id))).json()) as Token;
    },

    listHooks: (call?: CallOptions) => read<{ data: Hook[] }>("hooks", {}, call),
    getHook: (name: string, call?: CallOptions) => read<Hook>(at("hooks", name), {}, call),
    /** The answer is the only place that has the secret of a webhook, where the hub made it. */
    async createHook(body: HookRequest) {
      return (await (await send("POST", "hooks", { body })).json()) as ChangedHook;
    },
    /** What is left out stays as it is. A target is given whole, with its secrets. */
    async changeHook(name: string, body: HookChangeRequest) {
      return (await (await send("PATCH", at("hooks", name), { body })).json()) as ChangedHook;
    },
    /** Its deliveries go with it. */
    async removeHook(name: string) {
      return (await (await send("DELETE", at("hooks", name))).json()) as Hook;
    },
    /** Sends a message, also for a disabled hook; `listDeliveries` says what becomes of it. */
    testHook: (name: string, call?: ChangeOptions) =>
      change<Delivery>(at("hooks", name, "test"), undefined, call),
    listDeliveries: (name: string, query: PageQuery = {}, call?: CallOptions) =>
      read<Page<Delivery>>(at("hooks", name, "deliveries"), query, call),
    /** Sends a delivery again that has ended. */
    redeliver: (name: string, id: string, call?: ChangeOptions) =>
      change<Delivery>(at("hooks", name, "deliveries", id, "redeliver"), undefined, call),

    listJoinTokens: (call?: CallOptions) => read<{ data: JoinToken[] }>("join-tokens", {}, call),
    /** The answer is the only place that has the secret, and the line to paste. */
    async createJoinToken(body: JoinTokenRequest = {}) {
      return (await (await send("POST", "join-tokens", { body })).json()) as NewJoinToken;
    },
    async revokeJoinToken(id: string) {
      return (await (await send("DELETE", at("join-tokens", id))).json()) as JoinToken;
    },

    getSession: (call?: CallOptions) => read<Session>("session", {}, call),
    /** Logs this browser in with the client's token. */
    async openSession() {
      return (await (await send("POST", "session")).json()) as Session;
    },
    async closeSession() {
      await send("DELETE", "session");
    },
  };
}

/**
 * Waits until a run is finished and returns it. The run may have finished before.
 *
 * @throws HubError when the hub refuses or stays away; the signal's reason when it aborts.
 */
export async function waitForRun(
  hub: HubClient,
  id: string,
  options: CallOptions = {},
): Promise<Run> {
  for await (const { event, data } of hub.streamRunEvents(id, options)) {
    if (event === "end") return data;
  }
  return await hub.getRun(id, options);
}

/**
 * Iterates over a list, page by page: `for await (const run of everyPage(hub.listRuns, { status:
 * "failed" }))`.
 */
export async function* everyPage<Item, Query extends PageQuery | undefined>(
  list: (query: Query) => Promise<Page<Item>>,
  query: NoInfer<NonNullable<Query>>,
): AsyncGenerator<Item, void> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page: Page<Item> = await list(cursor === undefined ? query : { ...query, cursor });
    yield* page.data;
    cursor = page.next;
  }
}

const at = (...parts: (string | number)[]): string =>
  parts.map((part) => encodeURIComponent(part)).join("/");

/** Browsers offer `randomUUID` only on pages from HTTPS or from this machine. */
const makeKey = (): string =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
