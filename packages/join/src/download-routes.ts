import { createReadStream } from "node:fs";
import { Readable } from "node:stream";
import { OpenAPIHono } from "@hono/zod-openapi";
import { addressOf, createRateLimiter, type HubEnv, problem } from "@loom/http";
import type { JoinHub } from "./join-context.ts";
import { type NodePlatform, nodePlatforms } from "./node-archives.ts";
import { originOf, safeWaysOnly } from "./place.ts";
import { joinScript } from "./script.ts";

const RATE = { burst: 60, perSecond: 2 };

/** What a machine downloads to become a node: the script, the agent, and Node where it is missing. */
export function downloadRoutes({ join }: Pick<JoinHub, "join">) {
  const count = createRateLimiter(RATE);
  const app = new OpenAPIHono<HubEnv>();
  const agent = async () => {
    if (!join.agent) throw problem("JOIN_UNAVAILABLE", "agent");
    return await join.agent();
  };
  const paths = ["/join", "/agent", "/agent/:file", "/node/:file"];
  for (const path of paths) {
    app.use(path, safeWaysOnly(join));
    app.use(path, async (c, next) => {
      count(c, addressOf(c));
      await next();
    });
  }

  app.get("/join", async (c) => {
    const [{ digest, sequence }, nodes] = await Promise.all([
      agent(),
      join.node?.digests() ?? new Map(),
    ]);
    return c.body(joinScript({ hub: originOf(c), agent: digest, sequence, nodes }), 200, {
      "content-type": "text/x-shellscript; charset=utf-8",
    });
  });

  app.get("/agent", async (c) => {
    const { archive: _, ...facts } = await agent();
    return c.json(facts);
  });

  app.get("/agent/:file", async (c) => {
    const { digest, archive } = await agent();
    if (c.req.param("file") !== `${digest}.tgz`) throw problem("DOWNLOAD_NOT_FOUND", c.req.path);
    return c.body(new Uint8Array(archive), 200, { "content-type": "application/gzip" });
  });

  app.get("/node/:file", async (c) => {
    const [, platform = "", digest = ""] =
      /^([a-z]+-[a-z0-9]+)-([0-9a-f]{128})\.tgz$/.exec(c.req.param("file")) ?? [];
    const isKnown = nodePlatforms.includes(platform as NodePlatform);
    const file = isKnown && (await join.node?.fetch(platform as NodePlatform, digest));
    if (!file) throw problem("DOWNLOAD_NOT_FOUND", c.req.path);
    return c.body(Readable.toWeb(createReadStream(file)) as ReadableStream, 200, {
      "content-type": "application/gzip",
    });
  });

  return app;
}
