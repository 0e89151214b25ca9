import type { Problem } from "@loom/client";
import { suggestNames } from "@loom/did-you-mean";
import { fileProblems } from "./file-problems.ts";
import { runProblems } from "./run-problems.ts";

/** A problem document without `type`, which follows from its code. */
export type ProblemDetails = Omit<Problem, "type">;
type Said = Omit<ProblemDetails, "title" | "code">;

/** `detail` says what happened and `hint` what to do, in one sentence each. A stranger can act on them. */
const say = (status: number, detail: string, hint: string): Said => ({ status, detail, hint });

const SEND_TOKEN = "send a token: Authorization: Bearer <token>";

const UNAUTHORIZED = {
  missing: "this hub requires a token",
  malformed: "the Authorization header is not a bearer token",
  unknown: "the token is unknown, expired or revoked",
  session: "the session is over",
} as const;

const MALFORMED: Readonly<
  Record<"json" | "http" | "address" | "size" | "time", [number, string, string]>
> = {
  json: [400, "the body is not JSON", "send a JSON body, or neither a body nor a content-type"],
  http: [400, "the request is not HTTP", "send an HTTP/1.1 request"],
  address: [400, "the request has an invalid URL or Host header", "correct the URL and the header"],
  size: [431, "a request's path and headers hold at most 16 KiB", "send fewer or shorter headers"],
  time: [408, "the request did not arrive within 30 s", "send it again over a faster connection"],
};

const TOKEN_REQUIRED = {
  off: "this hub takes no machine without a token",
  connection: "the request did not come straight from a machine of the tailnet",
  own: "the request came from the hub's own machine",
  stranger: "Tailscale does not know the machine as one of its tailnet",
  shared: "the machine belongs to another tailnet",
  rule: "LOOM_TAILNET_JOIN of this hub has no rule for the machine's owner or tags",
} as const;

const UNAVAILABLE: Readonly<Record<"key" | "agent", [string, string]>> = {
  key: [
    "this hub has no publishable key, which agents need to reach the database",
    "set SUPABASE_PUBLISHABLE_KEY on the hub to the project's publishable (anon) key",
  ],
  agent: [
    "this hub has no agent to give away",
    "start the hub with loom-hub, or install the agent with a package manager",
  ],
};

const CURSOR = {
  unknown: "unknown cursor",
  filters: "the cursor belongs to a list with other filters",
} as const;

/**
 * Every problem that the hub answers with, by its code. The queue's refusals are not here: they carry their own
 * sentences, in `packages/queue/sql`.
 */
const problemTable = {
  // The request.
  BODY_TOO_LARGE: (most = "1 MiB") =>
    say(
      413,
      `a request body holds at most ${most}`,
      "store the data elsewhere and send a reference to it",
    ),
  INEXACT_NUMBER: (number: string) =>
    say(
      422,
      `the number ${number.slice(0, 40)} would be rounded: whole numbers reach from -${Number.MAX_SAFE_INTEGER} to ${Number.MAX_SAFE_INTEGER}`,
      "send it as a string",
    ),
  INVALID_CURSOR: (why: keyof typeof CURSOR) =>
    say(
      422,
      CURSOR[why],
      "use `next` of the previous page with the same filters, or begin without a cursor",
    ),
  INVALID_REQUEST: (action: string, errors: readonly { path: string; message: string }[]) => ({
    ...say(
      422,
      `the request is well-formed but invalid: ${errors[0]?.path}: ${errors[0]?.message}`,
      `/docs#${action} describes the request`,
    ),
    errors: [...errors],
  }),
  INVALID_UTF8: () =>
    say(
      400,
      "the body is not UTF-8",
      "encode JSON as UTF-8, and other bytes as text, such as base64",
    ),
  MALFORMED_REQUEST: (why: keyof typeof MALFORMED) => say(...MALFORMED[why]),
  METHOD_NOT_ALLOWED: (path: string, method: string, allowed: string) =>
    say(405, `${path} does not support ${method}`, `use ${allowed}`),
  NOT_FOUND: (path: string) =>
    say(
      404,
      `there is nothing at ${path}`,
      /.\/$/.test(path)
        ? "leave out the slash at the end"
        : "use an address under /api/loom, as /docs describes",
    ),
  RATE_LIMITED: ({ perSecond, burst }: { perSecond: number; burst: number }, waitSeconds: number) =>
    say(
      429,
      `more than ${perSecond} requests a second, after ${burst} at once`,
      `wait ${waitSeconds} s, then send the request again`,
    ),
  TOO_MANY_STREAMS: (limit: number, subject?: string) =>
    say(
      subject === undefined ? 503 : 429,
      subject === undefined
        ? `this hub has ${limit} open streams, which is its limit`
        : `${subject} has ${limit} open streams, which is the limit for one caller`,
      "close streams that nobody reads, then try again",
    ),
  UNKNOWN_HOST: (host: string) =>
    say(
      421,
      `this hub does not have the name ${host.slice(0, 100)}`,
      "use an address or a name of the hub, or add the name to LOOM_HOSTS",
    ),
  UNSUPPORTED_MEDIA_TYPE: () =>
    say(415, "the body is not declared as JSON", "send content-type: application/json, or no body"),

  // The caller.
  CROSS_SITE: () => say(403, "this request does not come from a page of the hub", SEND_TOKEN),
  FORBIDDEN: () =>
    say(
      403,
      "this hub has no token and serves only programs of its own machine",
      "set LOOM_TOKEN on the hub, and send it",
    ),
  IDENTITY_UNAVAILABLE: () =>
    say(
      503,
      "Tailscale on the hub's machine could not identify the caller",
      "try again, or send a token",
    ),
  NO_TOKEN: () =>
    say(
      422,
      "a session stands for a token, and this caller was let in without one",
      "continue without a session, or send a token: Authorization: Bearer <token>",
    ),
  SCOPE_MISSING: (action: string, scope: string, who: string, scopes: readonly string[]) =>
    say(
      403,
      `${action} needs the scope ${scope}; ${who} has ${scopes.join(", ")}`,
      `use a token with the scope ${scope}`,
    ),
  UNAUTHORIZED: (why: keyof typeof UNAUTHORIZED) =>
    say(401, UNAUTHORIZED[why], why === "session" ? "log in again" : SEND_TOKEN),

  // Machines.
  BROWSER_REFUSED: (path: string) =>
    say(
      403,
      `${path} is for programs on machines, and a browser sent the request`,
      "use curl, in a terminal of the machine that is to join",
    ),
  DOWNLOAD_NOT_FOUND: (path: string) =>
    say(404, `this hub does not have ${path}`, "fetch /join again: it names the present downloads"),
  JOIN_NAME_REFUSED: (name: string, given: string) =>
    say(
      409,
      `without a token the machine joins as ${name}, its name in the tailnet, and not as ${given}`,
      "leave LOOM_NODE_NAME out, or join with a token",
    ),
  JOIN_TOKEN_NOT_FOUND: (id: string) =>
    say(
      404,
      `there is no join token ${id}`,
      "GET /api/loom/join-tokens lists the join tokens with their ids",
    ),
  JOIN_TOKEN_REQUIRED: (why: keyof typeof TOKEN_REQUIRED) =>
    say(
      403,
      TOKEN_REQUIRED[why],
      'join with a token: "Add a machine" in the dashboard, or POST /api/loom/join-tokens',
    ),
  JOIN_UNAVAILABLE: (why: keyof typeof UNAVAILABLE) => say(503, ...UNAVAILABLE[why]),
  NOT_SERVED_HERE: () =>
    say(
      403,
      "keys and programs travel over loopback, the tailnet or TLS only, and this request came another way",
      "use the hub's address in the tailnet, or a proxy with TLS on the hub's machine",
    ),
  TOO_MANY_CALLS: (limit: string) =>
    say(
      429,
      `${limit} with this key are under way, which is the limit`,
      "wait for their answers, then send the call again",
    ),

  // Names.
  DELIVERY_NOT_FOUND: (id: string, hook: string) =>
    say(404, `hook ${hook} has no delivery ${id}`, `GET /hooks/${hook}/deliveries lists them`),
  HOOK_NOT_FOUND: (name: string) =>
    say(404, `there is no hook ${name}`, "GET /api/loom/hooks lists the hooks with their names"),
  HOOK_RULES_INVALID: (path: string, why: string) => ({
    ...say(
      422,
      `the hook's ${path} and its rules contradict each other: ${why}`,
      `leave ${path} out, or change the rules`,
    ),
    errors: [{ path, message: why }],
  }),
  HOOK_TARGET_REFUSED: (host: string) =>
    say(
      422,
      `${host} is a link-local address or a cloud's own, where clouds serve credentials of their machines`,
      "use another address; those of private networks and of the hub's own machine are allowed",
    ),
  JOB_NOT_FOUND: (id: number) =>
    say(
      404,
      `there is no job ${id}`,
      "GET /api/loom/jobs lists the stored jobs; a finished job is kept for 30 days",
    ),
  NODE_KEY_NOT_FOUND: (id: string, node: string) =>
    say(
      404,
      `node ${node} has no key ${id}`,
      `GET /api/loom/nodes/${node}/keys lists its keys with their ids`,
    ),
  NODE_WITHOUT_KEY: (node: string) =>
    say(
      409,
      `node ${node} has no valid key of its own, which would say what it may offer`,
      "let the machine join again: GET /join, or POST /api/loom/join-tokens",
    ),
  UPGRADE_UNAVAILABLE: () =>
    say(
      409,
      "this hub has no agent to give away",
      "start the hub with loom-hub, or upgrade the agent where it came from",
    ),
  NODE_NOT_UPGRADABLE: (node: string, why: "present" | "foreign") =>
    why === "present"
      ? say(409, `node ${node} has this hub's agent already`, "there is nothing to do")
      : say(
          409,
          `the agent of ${node} was not installed by a hub's script, so a hub cannot change it`,
          "upgrade it where it came from, or run the hub's script there: GET /join",
        ),
  NODE_NOT_FOUND: (node: string, known?: readonly string[]) =>
    known === undefined
      ? say(404, `there is no node ${node}`, "GET /api/loom/nodes lists the known nodes")
      : unknownName(
          { name: node, what: `there is no node ${node}` },
          { known, none: "start an agent: npx @loom/node-agent" },
        ),
  SCHEDULE_NOT_FOUND: (id: string, known: readonly string[]) =>
    unknownName(
      { name: id, what: `there is no schedule ${id}` },
      { known, none: "give a workflow a schedule first" },
    ),
  TOKEN_NOT_FOUND: (id: string) =>
    say(404, `there is no token ${id}`, "GET /api/loom/tokens lists the tokens with their ids"),
  UNKNOWN_STEP: (workflow: string, step: string, known: readonly string[]) =>
    unknownName(
      { name: step, what: `workflow ${workflow} has no step ${step}` },
      { known, none: "add a step to the workflow" },
    ),
  UNKNOWN_WORKFLOW: (workflow: string, known: readonly string[]) =>
    unknownName(
      { name: workflow, what: `there is no workflow ${workflow}` },
      {
        known,
        none: "set LOOM_WORKFLOWS_DIR on the hub to a folder with workflow files",
      },
    ),

  // The state of a run or a job.
  ...runProblems,
  ...fileProblems,
  NOTHING_TO_REDRIVE: (job: number) =>
    say(
      409,
      `job ${job} belongs to a run, or is neither failed nor cancelled`,
      "retry the run that a step belongs to: POST /api/loom/runs/{id}/retry",
    ),

  UNSATISFIABLE: (
    explanations: NonNullable<ProblemDetails["explanations"]>,
    steps: readonly string[],
  ) => ({
    ...say(
      422,
      explanations
        .map(({ step, explanation }) => `step ${step}: ${explanation.summary}`)
        .join("; "),
      [
        ...explanations.flatMap(({ explanation }) => explanation.fix ?? []).slice(0, 1),
        "send `allowUnsatisfiable: true` to let it wait for a node that can run it",
      ].join(", or "),
    ),
    errors: steps.map((step) => ({
      path: `steps.${step}`,
      message: "no known node could ever run it",
    })),
    suggestions: [
      ...new Set(
        explanations.flatMap(({ explanation }) =>
          explanation.didYouMean.flatMap(({ known }) => known),
        ),
      ),
    ],
    explanations,
  }),

  // Workflows' code.
  INVALID_INPUT: (errors: readonly { path: string; message: string }[]) => ({
    ...say(
      422,
      "the input does not fit the workflow",
      "GET /api/loom/strands/{workflow} has the schema of its input",
    ),
    errors: errors.map(({ path, message }) => ({
      path: path ? `input.${path}` : "input",
      message,
    })),
  }),
  PLAN_FAILED: (what: string) => say(422, what, "fix the workflow's file, or send another input"),
  PLANNER_BUSY: (what: string) => say(503, what, "try again in a few seconds"),
  WORKFLOW_CODE_FAILED: (what: string, called: string) => codeProblem(what, called),
  WORKFLOW_CODE_TIMED_OUT: (what: string, called: string) => codeProblem(what, called),
  WORKFLOWS_LOADING: (workflow: string, loading: readonly string[]) =>
    say(
      503,
      `workflow ${workflow} is not known yet: the hub still imports ${loading.join(", ")}`,
      "try again in a few seconds",
    ),

  // The database and the hub.
  INTERNAL: () =>
    say(
      500,
      "the hub failed to answer the request",
      "search the hub's log for this answer's x-request-id",
    ),
  QUEUE_ACCESS: () =>
    say(
      503,
      "the database refused the hub's key",
      "check SUPABASE_SECRET_KEY on the hub; its log has more under this answer's x-request-id",
    ),
  QUEUE_SCHEMA: () =>
    say(
      503,
      "the database's schema does not fit this hub",
      "run loom-hub migrate, and use one version of Loom",
    ),
  QUEUE_UNAVAILABLE: (advice?: string) =>
    say(
      503,
      "the database's API did not answer, so the request may or may not have taken effect",
      advice ?? "try again; with an Idempotency-Key, a repeated request takes effect once",
    ),
} satisfies Record<string, (...facts: never[]) => Said>;

export type ProblemCode = keyof typeof problemTable;
export type ProblemFacts<Code extends ProblemCode> = Parameters<(typeof problemTable)[Code]>;

/** The problem of a code. */
export function describeProblem<Code extends ProblemCode>(
  code: Code,
  ...facts: ProblemFacts<Code>
): ProblemDetails {
  const describe = problemTable[code] as (...facts: ProblemFacts<Code>) => Said;
  return { title: titleOf(code), code, ...describe(...facts) };
}

/** `BODY_TOO_LARGE` as `Body too large`. */
export const titleOf = (code: string): string =>
  `${code.slice(0, 1)}${code.slice(1).toLowerCase().replaceAll("_", " ")}`;

function codeProblem(what: string, called: string): Said {
  const fix = called === "import" ? "the workflow's file" : "that function";
  return say(422, what, `fix ${fix}; it must end within 1 s`);
}

/** A 404 for an unknown name, with the known names that may have been meant. */
function unknownName(
  { name, what }: { name: string; what: string },
  { known, none }: { known: readonly string[]; none: string },
): Said {
  const suggestions = suggestNames(name, [...known]);
  const meant = suggestions.length > 0 ? `; did you mean ${suggestions.join(" or ")}?` : "";
  const hint = known.length > 0 ? `use one of ${known.join(", ")}` : none;
  return { ...say(404, `${what}${meant}`, hint), suggestions };
}
