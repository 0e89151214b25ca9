// Commands, which are runs of the built-in workflow `exec`: who may start them, and what the hub signs.
import { randomUUID } from "node:crypto";
import type { ExecRequest } from "@loom/client";
import { execRequest } from "@loom/client/schemas";
import { type SignedExec, type SigningKey, signExec, verifyExec } from "@loom/code";
import { alsoRequireScope, problem, type RequestContext } from "@loom/http";
import type { Run } from "@loom/queue";
import {
  EXEC_CAPABILITY,
  EXEC_WORKFLOW,
  type ExecCommand,
  execSteps,
  type JsonValue,
  limits,
  parseClause,
  parseInput,
  printClause,
  type RunPlan,
} from "@loom/workflow";
import type { HubContext } from "../hub-context.ts";

/** Changes when a node of before could not run a command of now. */
const EXEC_VERSION = "1";

const BACKOFF = { kind: "exponential", delayMs: 1_000, maxDelayMs: 300_000 } as const;

type Hub = Pick<HubContext, "signingKey">;
/** A request with every field filled in. */
type Command = ExecCommand & { timeoutMs: number; retries: number };

/**
 * Refuses a caller without the scope `exec` where a request is about a command. Every operation that could make a job
 * of one calls it before anything else.
 */
export function requireExec(c: RequestContext, workflow: string): boolean {
  if (workflow !== EXEC_WORKFLOW) return false;
  alsoRequireScope(c, "exec");
  const { who, isUnproven } = c.get("identity");
  if (isUnproven) throw problem("EXEC_TOKEN_UNPROVEN", who);
  return true;
}

/**
 * Plans a run of a command, and signs it for this run.
 *
 * @throws InvalidInputError; ProblemError `EXEC_UNAVAILABLE`.
 */
export function planExec(input: unknown, hub: Hub): { id: string; plan: RunPlan } {
  const command = parseInput(
    { name: EXEC_WORKFLOW, input: execRequest },
    input,
  ) as unknown as Command;
  const { id, signed } = sign(command, hub);
  const { needs, host, timeoutMs, retries } = command;
  const clauses = [...needs, EXEC_CAPABILITY].map((clause) => printClause(parseClause(clause)));
  const job = {
    ...({
      after: [],
      runsAfter: "success",
      optional: false,
      skip: "pass",
      hasCondition: false,
    } as const),
    requires: [...new Set(clauses)].sort(),
    host,
    prefers: [],
    priority: 100,
    timeoutMs,
    retry: { attempts: retries + 1, backoff: BACKOFF },
    // A command that began may have done its work when its node was lost.
    maxCrashRestarts: Math.min(retries, limits.crashRestarts),
    startWithinMs: limits.execBeginMs,
    concurrency: null,
  };
  return {
    id,
    plan: {
      ...{ workflow: EXEC_WORKFLOW, version: EXEC_VERSION, input: signed, rawInput: toJson(input) },
      jobs: execSteps(command).map((step) => ({ step, ...job })),
    },
  };
}

/**
 * Signs the command of a run for a new run, for a retry.
 *
 * @throws ProblemError `EXEC_NOT_SIGNED`, `EXEC_UNAVAILABLE`.
 */
export function signAgain(old: Run, hub: Hub): { id: string; input: JsonValue } {
  const { id, signed } = sign(requestOf(old, hub), hub);
  return { id, input: signed };
}

/**
 * The request that a run came from.
 *
 * The row may have been written by somebody else than this hub, and a person who repeats a run does not read it. So
 * only a command that this hub signed for this run is repeated.
 *
 * @throws ProblemError `EXEC_NOT_SIGNED`, `EXEC_UNAVAILABLE`.
 */
export function requestOf({ id: run, input }: Run, hub: Hub): Command {
  const { publicKey } = keyOf(hub);
  const { signed, ...command } = input as unknown as Command & { signed: SignedExec };
  const verified = verifyExec(command, signed, { run, now: new Date(0), publicKey });
  if (verified !== "ok") throw problem("EXEC_NOT_SIGNED", run);
  return parseInput({ name: EXEC_WORKFLOW, input: execRequest }, command) as unknown as Command;
}

function sign(command: Command, hub: Hub): { id: string; signed: JsonValue } {
  const id = randomUUID();
  const notAfter = new Date(Date.now() + limits.execBeginMs);
  const signed = signExec(command, { run: id, notAfter, key: keyOf(hub) });
  return { id, signed: toJson({ ...command, signed }) };
}

function keyOf({ signingKey }: Hub): SigningKey {
  if (signingKey === undefined) throw problem("EXEC_UNAVAILABLE");
  return signingKey;
}

const toJson = (value: unknown): JsonValue => value as ExecRequest as JsonValue;
