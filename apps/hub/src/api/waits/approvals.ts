import type { Approval } from "@loom/client";
import {
  approvalQuery,
  approvalSchema,
  decisionRequest,
  jobParams,
  pageOf,
} from "@loom/client/schemas";
import {
  answer,
  auditedOnce,
  body,
  createRouter,
  type Identity,
  idempotencyHeaders,
  problem,
  readCursor,
  route,
  toPage,
  withIsoDates,
} from "@loom/http";
import { JobNotFoundError, type Approval as QueueApproval } from "@loom/queue";
import { ConditionError } from "@loom/scheduler";
import { PlannerBusyError, WorkflowCodeError } from "@loom/worker";
import { InvalidInputError, type JsonValue } from "@loom/workflow";
import { z } from "zod";
import type { HubContext } from "../../hub-context.ts";

const list = route("listApprovals", "read", {
  method: "get",
  path: "/",
  summary: "What steps ask of people, newest first",
  request: { query: approvalQuery },
  responses: { 200: answer("A page of approvals", pageOf(approvalSchema)) },
  fails: [422],
});

const get = route("getApproval", "read", {
  method: "get",
  path: "/{id}",
  summary: "What a step asks, and the answer",
  request: { params: jobParams },
  responses: { 200: answer("The approval", approvalSchema) },
  fails: [404],
});

const decide = route("decideApproval", "run", {
  method: "post",
  path: "/{id}/decide",
  summary: "Approve or reject what a step asks; the same decision again gets the same answer",
  request: { params: jobParams, headers: idempotencyHeaders, body: body(decisionRequest) },
  responses: { 200: answer("The approval with the decision", approvalSchema) },
  fails: [404, 409],
});

export function approvalRoutes({ queue, planner, onJobsAdded }: HubContext) {
  const app = createRouter();

  app.openapi(list, async (c) => {
    const { cursor, limit, state, ...rest } = c.req.valid("query");
    const filters = { list: "approvals", state, ...rest };
    const after = readCursor(cursor, filters, z.int());
    const { approvals, next } = await queue.listApprovals({
      ...{ pending: state === "pending", limit, after },
      ...(rest.workflow !== undefined && { workflow: rest.workflow }),
      ...(rest.runId !== undefined && { runId: rest.runId }),
    });
    const identity = c.get("identity");
    const shown = approvals.map((approval) => toApproval(approval, identity));
    return c.json(toPage(c, shown, next, filters), 200);
  });

  app.openapi(get, async (c) => {
    const approval = await find(c.req.valid("param").id);
    return c.json(toApproval(approval, c.get("identity")), 200);
  });

  app.openapi(decide, async (c) => {
    const { id } = c.req.valid("param");
    const { decision, digest, note, input } = c.req.valid("json");
    const identity = c.get("identity");
    const asked = await find(id);
    if (!mayDecide(asked, identity)) {
      throw problem("APPROVAL_NOT_YOURS", asked.title, asked.who, identity.who);
    }
    // Of something else than what was shown, the database says what has become of it.
    const isShown = asked.digest === digest && decision === "approved";
    const parsed = isShown ? await parse(asked, input as JsonValue | undefined) : undefined;
    const decided = await (await auditedOnce(c, queue)).decideApproval(id, {
      ...{ decision, digest, by: identity.who, names: namesOf(identity) },
      ...(note !== undefined && { note }),
      ...(parsed !== undefined && { input: parsed }),
    });
    onJobsAdded();
    return c.json(toApproval(decided, identity), 200);
  });

  async function find(id: number): Promise<QueueApproval> {
    try {
      return await queue.getApproval(id);
    } catch (error) {
      throw error instanceof JobNotFoundError ? problem("APPROVAL_NOT_FOUND", id) : error;
    }
  }

  /** What the step's schema makes of the input; undefined where the step asks for none. */
  async function parse(asked: QueueApproval, input: JsonValue | undefined) {
    if (asked.schema === null) {
      if (input === undefined) return undefined;
      throw new InvalidInputError(asked.workflow, [
        { path: "", message: "the step asks for none" },
      ]);
    }
    try {
      return await planner.parse({ ...asked, input: input ?? {} });
    } catch (error) {
      const isOfCode = [InvalidInputError, ConditionError, WorkflowCodeError, PlannerBusyError];
      if (isOfCode.some((known) => error instanceof known)) throw error;
      throw problem("WORKFLOW_VERSION_UNAVAILABLE", asked.workflow, asked.version);
    }
  }

  return app;
}

const toApproval = ({ schema, ...approval }: QueueApproval, identity: Identity): Approval =>
  approvalSchema.parse({
    ...withIsoDates(approval),
    inputSchema: schema,
    mayDecide: mayDecide(approval, identity),
  });

/** Whether a step that names who may decide names this caller. The scope is checked apart from that. */
const mayDecide = ({ who }: Pick<QueueApproval, "who">, identity: Identity): boolean =>
  who.length === 0 || namesOf(identity).some((name) => who.includes(name));

/**
 * How a step may name a caller: the name of its token, also through a session; its login, or its machine's tags, in the
 * tailnet. A token with the name of a login or a tag is not that person or machine.
 */
function namesOf({ subject, who, tokenId }: Identity): string[] {
  if (tokenId === null) return [...new Set([who, ...who.split(" ")])];
  const name = subject.replace(/^token /, "");
  return name.includes("@") || name.startsWith("tag:") ? [] : [name];
}
