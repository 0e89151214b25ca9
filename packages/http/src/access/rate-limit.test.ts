import { Hono } from "hono";
import { describe, expect, test } from "vitest";
import { ProblemError, respondProblem } from "../problem.ts";
import { createRateLimiter } from "./rate-limit.ts";

function limited() {
  let at = 0;
  const count = createRateLimiter({ burst: 3, perSecond: 2 }, () => at);
  const app = new Hono();
  app.onError((error, c) => {
    if (error instanceof ProblemError) return respondProblem(c, error.problem, error.headers);
    throw error;
  });
  app.get("/:key", (c) => {
    count(c, c.req.param("key"));
    return c.text("in");
  });
  return {
    ask: (key = "a") => app.request(`/${key}`),
    pass(seconds: number) {
      at += seconds;
    },
  };
}

describe("a rate limit", () => {
  test("allows a burst, and then as many as flow in", async () => {
    const { ask, pass } = limited();
    const statuses = async (count: number) => {
      const answers = [];
      for (let n = 0; n < count; n += 1) answers.push((await ask()).status);
      return answers;
    };
    expect(await statuses(4)).toEqual([200, 200, 200, 429]);
    pass(0.5);
    expect(await statuses(2)).toEqual([200, 429]);
    pass(60);
    expect(await statuses(4)).toEqual([200, 200, 200, 429]);
  });

  test("is each credential's own", async () => {
    const { ask } = limited();
    for (let n = 0; n < 4; n += 1) await ask("a");
    expect((await ask("b")).status).toBe(200);
  });

  test("says what is left, and when to come again", async () => {
    const { ask } = limited();
    const first = await ask();
    expect(first.headers.get("ratelimit-policy")).toBe('"default";q=3;w=2');
    expect(first.headers.get("ratelimit")).toBe('"default";r=2;t=1');
    for (let n = 0; n < 2; n += 1) await ask();
    const refused = await ask();
    expect(refused.headers.get("ratelimit")).toBe('"default";r=0;t=1');
    expect(refused.headers.get("retry-after")).toBe("1");
    expect(await refused.json()).toMatchObject({ status: 429, code: "RATE_LIMITED" });
  });
});
