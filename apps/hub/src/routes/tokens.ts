import { createRoute, z } from "@hono/zod-openapi";
import { digestOf, makeToken } from "../access/api-token.ts";
import { createRouter, type RouteDeps } from "../hub-context.ts";
import { answer, json } from "../json-content.ts";
import { actFor, commonProblems, operation } from "../operation.ts";
import { ProblemError, problems } from "../problem.ts";
import { newTokenView, scope, tokenView, toTokenView } from "../views/token.ts";

const DAY_MS = 86_400_000;

const list = createRoute({
  ...operation("listTokens", "admin"),
  method: "get",
  path: "/",
  summary: "Every token, newest first, also those that are revoked",
  responses: {
    200: answer("The tokens, without their secret", z.object({ data: z.array(tokenView) })),
    ...commonProblems,
  },
});

const create = createRoute({
  ...operation("createToken", "admin"),
  method: "post",
  path: "/",
  summary: "Make a token; its secret is in this answer and nowhere else",
  request: {
    body: {
      required: true,
      ...json(
        z.strictObject({
          name: z.string().regex(/^\P{C}{1,100}$/u, "a name has 1 to 100 printable characters"),
          scopes: z
            .array(scope)
            .min(1)
            .max(4)
            .transform((given) => [...new Set(given)]),
          expiresInDays: z.int().min(1).max(3_650).optional(),
        }),
      ),
    },
  },
  responses: {
    201: answer("The token", newTokenView),
    ...commonProblems,
    ...problems(400, 409, 413, 415, 422),
  },
});

const revoke = createRoute({
  ...operation("revokeToken", "admin"),
  method: "delete",
  path: "/{id}",
  summary: "Revoke a token, and the sessions that were opened with it",
  description: "Other hubs let it in for 10 seconds more.",
  request: { params: z.object({ id: z.string() }) },
  responses: {
    200: answer("The token", tokenView),
    ...commonProblems,
    ...problems(404),
  },
});

export function tokenRoutes({ queue, tokens }: RouteDeps) {
  const app = createRouter();

  app.openapi(list, async (c) => {
    const all = await queue.listTokens();
    return c.json({ data: all.map(toTokenView) }, 200);
  });

  app.openapi(create, async (c) => {
    const { name, scopes, expiresInDays } = c.req.valid("json");
    const token = makeToken();
    const made = await actFor(c, queue).createToken({
      name,
      digest: digestOf(token),
      scopes,
      createdBy: c.get("identity").who,
      ...(expiresInDays !== undefined && { lifetimeMs: expiresInDays * DAY_MS }),
    });
    tokens.clear();
    return c.json({ ...toTokenView(made), token }, 201, { "cache-control": "no-store" });
  });

  app.openapi(revoke, async (c) => {
    const { id } = c.req.valid("param");
    const revoked = await actFor(c, queue).revokeToken(id);
    tokens.clear();
    if (!revoked) {
      throw new ProblemError({
        title: "Token not found",
        status: 404,
        code: "TOKEN_NOT_FOUND",
        detail: `there is no token ${id}`,
        hint: "GET /api/loom/tokens lists them with their ids",
      });
    }
    return c.json(toTokenView(revoked), 200);
  });

  return app;
}
