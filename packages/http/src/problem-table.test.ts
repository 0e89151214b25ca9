import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Explanation } from "@loom/client";
import * as schemas from "@loom/client/schemas";
import { describeIssue } from "@loom/workflow";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { describeProblem, type ProblemCode, type ProblemFacts } from "./problem-table.ts";

const explanation = {
  summary: "no known node has has-gpu",
  fix: "add has-gpu to LOOM_CAPABILITIES of forge",
  didYouMean: [{ written: "has-gpu", known: ["gpu"] }],
} as unknown as Explanation;

/** The facts of each code: once for every sentence that it can have. The type asks for each code. */
const FACTS: { [Code in ProblemCode]: ProblemFacts<Code>[] } = {
  APPROVAL_NOT_FOUND: [[7]],
  APPROVAL_NOT_YOURS: [["Ship it?", ["ada", "ci"], "token bob"]],
  BODY_TOO_LARGE: [[], ["4 KiB"]],
  BROWSER_REFUSED: [["/join"]],
  CROSS_SITE: [[]],
  DOWNLOAD_NOT_FOUND: [["/agent/0.tgz"]],
  EXEC_NOT_SIGNED: [["6f1e7bfa-0c5c-4f9b-8a2e-6a3b1f0e4d11"]],
  EXEC_ONLY_IN_RUNS: [[]],
  EXEC_TOKEN_UNPROVEN: [["token ci"]],
  EXEC_UNAVAILABLE: [[]],
  FILES_OFF: [[]],
  FORBIDDEN: [[]],
  DELIVERY_NOT_FOUND: [["a-delivery", "chat"]],
  HOOK_NOT_FOUND: [["chat"]],
  HOOK_RULES_INVALID: [["waitingMs", "only step.waiting has a time to wait"]],
  HOOK_TARGET_REFUSED: [["169.254.169.254"]],
  IDENTITY_UNAVAILABLE: [[]],
  INEXACT_NUMBER: [["9007199254740993"]],
  INPUT_UNREADABLE: [["a-run"]],
  INTERNAL: [[]],
  INVALID_CURSOR: [["unknown"], ["filters"]],
  INVALID_INPUT: [[[{ path: "ref", message: "is missing: it must be text" }]]],
  INVALID_REQUEST: [["startRun", [{ path: "key", message: "must be text" }]]],
  INVALID_UTF8: [[]],
  JOB_NOT_FOUND: [[7]],
  JOIN_NAME_REFUSED: [["anvil", "forge"]],
  JOIN_TOKEN_NOT_FOUND: [["a-token"]],
  JOIN_TOKEN_REQUIRED: [["off"], ["connection"], ["own"], ["stranger"], ["shared"], ["rule"]],
  JOIN_UNAVAILABLE: [["key"], ["agent"]],
  MALFORMED_REQUEST: [["json"], ["http"], ["address"], ["size"], ["time"]],
  METHOD_NOT_ALLOWED: [["/api/loom/runs", "PUT", "GET, POST"]],
  NODE_KEY_MISSING: [[]],
  NODE_KEY_REFUSED: [[]],
  NODE_KEY_NOT_FOUND: [["3f6c", "pi"]],
  UPGRADE_UNAVAILABLE: [[]],
  NODE_NOT_UPGRADABLE: [
    ["forge", "present"],
    ["forge", "foreign"],
  ],
  NODE_WITHOUT_KEY: [["forge"]],
  NODE_NOT_FOUND: [["forge"], ["forge", []], ["forge", ["forgo", "oracle"]]],
  NOTHING_TO_REDRIVE: [[7]],
  NOT_FOUND: [["/nothing"], ["/runs/"]],
  NOT_SERVED_HERE: [[]],
  NO_TOKEN: [[]],
  PLANNER_BUSY: [["the code of 8 workflows runs already"]],
  PLAN_FAILED: [["workflow a, step b cannot be planned: host returned 7"]],
  QUEUE_ACCESS: [[]],
  RANGE_INVALID: [[10]],
  QUEUE_SCHEMA: [[]],
  QUEUE_UNAVAILABLE: [[], ["check SUPABASE_URL"]],
  RATE_LIMITED: [[{ perSecond: 100, burst: 600 }, 1]],
  RUN_NOT_FOUND: [["a-run"]],
  SCHEDULE_NOT_FOUND: [
    ["nightly", []],
    ["nightly", ["nightli"]],
  ],
  SCOPE_MISSING: [["startRun", "run", "token ci", ["read"]]],
  TOKEN_NOT_FOUND: [["a-token"]],
  TOO_MANY_CALLS: [["64 calls"]],
  TOO_MANY_STREAMS: [[1_000], [100, "token ci"]],
  UNAUTHORIZED: [["missing"], ["malformed"], ["unknown"], ["session"]],
  UNKNOWN_HOST: [["evil.example"]],
  UNKNOWN_STEP: [
    ["deploy", "biuld", []],
    ["deploy", "biuld", ["build", "test"]],
  ],
  UNKNOWN_WORKFLOW: [
    ["depoly", []],
    ["depoly", ["deploy", "smoke"]],
  ],
  UNSATISFIABLE: [
    [[{ step: "fit", explanation }], ["fit"]],
    [[{ step: "fit", explanation: { ...explanation, fix: null } }], ["fit"]],
  ],
  UNSUPPORTED_MEDIA_TYPE: [[]],
  WORKFLOWS_LOADING: [["deploy", ["deploy.ts"]]],
  WORKFLOW_VERSION_UNAVAILABLE: [["deploy", "0123456789abcdef"]],
  WORKFLOW_CODE_FAILED: [
    ["workflow a: its file ended the process", "import"],
    ["workflow a, step b: host ended the process", "host"],
  ],
  WORKFLOW_CODE_TIMED_OUT: [["workflow a, step b: host did not return within 1 s", "host"]],
};

const problems = Object.entries(FACTS).flatMap(([code, all]) =>
  all.map((facts) =>
    (describeProblem as (...args: unknown[]) => ReturnType<typeof describeProblem>)(
      code as ProblemCode,
      ...facts,
    ),
  ),
);

/** The refusals of the queue's SQL, which the API passes on: message and hint. */
const SQL = new URL("../../queue/sql/", import.meta.url);
const refusals = readdirSync(SQL)
  .filter((file) => file.endsWith(".sql"))
  .flatMap((file) => [
    ...readFileSync(new URL(file, SQL), "utf8").matchAll(
      /raise exception\s+'((?:[^']|'')+)'(?:(?!;\n).)*?errcode = 'PT4(?!03)\d\d'(.*?);\n/gs,
    ),
  ])
  .map(([, detail = "", rest = ""]) => ({
    code: /detail = '(\w+)'/.exec(rest)?.[1] ?? "",
    detail,
    hint: /hint = '((?:[^']|'')+)'/.exec(rest)?.[1] ?? "",
  }));

/** One sentence, without the full stop that would begin another. */
const ONE_SENTENCE = /^(?!.*[.!?]\s+\p{L}).*[^.]$/su;
/** Matches zod's own sentences. */
const VALIDATOR =
  /Invalid (input|option|element|key|string|number|ISO|URL|UUID)|Unrecognized key|Too (small|big)|expected .+, received|must match pattern|\bzod\b/;
/** Words that say less than the plain one. */
const RIDDLE =
  /\bmend|makes no sense|none of this|\bwho(ever)? asks|come again|said hello|expected shape|is not good/i;

describe("every problem of the API", () => {
  test.for([...problems, ...refusals])(
    "says in one sentence what happened and in one what to do: $code, $detail",
    ({ detail, hint = "" }) => {
      expect(detail).toMatch(ONE_SENTENCE);
      expect(hint).toMatch(ONE_SENTENCE);
      expect(`${detail} ${hint}`).not.toMatch(VALIDATOR);
      expect(`${detail} ${hint}`).not.toMatch(RIDDLE);
    },
  );

  test("is made in the table, and the queue's refusals were found", () => {
    expect(refusals.length).toBeGreaterThan(35);
    const folders = [".", "../../join/src", "../../../apps/hub/src"].map((folder) =>
      fileURLToPath(new URL(folder, import.meta.url)),
    );
    const elsewhere = folders
      .flatMap((folder) =>
        readdirSync(folder, { recursive: true, encoding: "utf8" }).map(
          (file) => `${folder}/${file}`,
        ),
      )
      .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
      .filter((file) => /new ProblemError\(\s*\{/.test(readFileSync(file, "utf8")));
    expect(elsewhere).toEqual([]);
  });
});

/** Values that no request schema allows somewhere. */
const WRONG = [undefined, null, 7, -1, 0.5, 1e9, "", "x".repeat(2_000), "\0", true, [], {}];

/** Requests with one wrong field each, one field too many, and no object at all. */
function* wrongFor(schema: z.ZodType): Generator<unknown> {
  yield* WRONG;
  yield { surplus: 1 };
  if (!(schema instanceof z.ZodObject)) return;
  for (const name of Object.keys(schema.shape)) {
    for (const value of [...WRONG, Array.from({ length: 2_000 }, () => "x"), [{}], [7]]) {
      yield { [name]: value };
    }
  }
}

const requests = Object.entries(schemas).flatMap(([name, schema]): [string, z.ZodType][] =>
  /Request$|Query$|Params$|Verb$/.test(name) && schema instanceof z.ZodType ? [[name, schema]] : [],
);

describe("an invalid request", () => {
  test.for(requests)("is described in the hub's own words: %s", ([, schema]) => {
    const said = new Set<string>();
    for (const value of wrongFor(schema)) {
      const { error } = schema.safeParse(value, { error: describeIssue });
      for (const { message } of error?.issues ?? []) said.add(message);
    }
    expect(said.size).toBeGreaterThan(0);
    for (const message of said) {
      expect(message).toMatch(/^(must |is missing|has |")/);
      expect(message).toMatch(ONE_SENTENCE);
      expect(message).not.toMatch(VALIDATOR);
    }
  });
});
