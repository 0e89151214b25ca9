import {
  beginUploadRequest,
  runFileSchema,
  storedFileSchema,
  uploadSchema,
} from "@loom/client/schemas";
import { type HubFiles, notFound, partReader, sendObject, toFileProblem } from "@loom/files";
import {
  answer,
  body,
  createRouter,
  exactJson,
  onError,
  problem,
  type RequestContext,
  route,
  withIsoDates,
} from "@loom/http";
import { limits } from "@loom/workflow";
import { bodyLimit } from "hono/body-limit";
import { z } from "zod";
import type { HubContext } from "../hub-context.ts";

const CONTENT = z.string().openapi({ format: "binary" });

const list = route("listRunFiles", "read", {
  method: "get",
  path: "/{id}/files",
  summary: "The files that a run has",
  request: { params: z.object({ id: z.string() }) },
  responses: {
    200: answer(
      "Files in the order in which they came",
      z.object({ data: z.array(runFileSchema) }),
    ),
  },
  fails: [404],
});

const download = route("downloadFile", "read", {
  method: "get",
  path: "/{id}/files/{sha256}",
  summary: "The content of a file of a run",
  description:
    "`Range: bytes=N-` continues a download that broke off. The content is never shown by a browser: it comes as a download.",
  request: { params: z.object({ id: z.string(), sha256: z.string() }) },
  responses: {
    200: {
      description: "The content",
      content: { "application/octet-stream": { schema: CONTENT } },
    },
    206: {
      description: "The content from a byte on",
      content: { "application/octet-stream": { schema: CONTENT } },
    },
  },
  fails: [404, 409, 416, 502],
});

/** `/api/loom/runs/{id}/files`: what people see and download. */
export function runFileRoutes({ queue, files, log }: HubContext) {
  const app = createRouter();
  app.onError((error, c) => onError(log)(toFileProblem(error), c));

  app.openapi(list, async (c) => {
    const { id } = c.req.valid("param");
    const found = await queue.listFiles(id);
    if (!found) throw problem("RUN_NOT_FOUND", id);
    return c.json({ data: found.map(withIsoDates) }, 200);
  });

  app.openapi(download, async (c) => {
    const { id, sha256 } = c.req.valid("param");
    const file = /^[0-9a-f]{64}$/.test(sha256) ? await queue.findRunFile(id, sha256) : null;
    if (!file) throw notFound(sha256.slice(0, 64));
    const { store } = opened(files);
    return (await sendObject(c as unknown as RequestContext, file, {
      store,
      headers: {
        "content-disposition": `attachment; filename*=UTF-8''${encodeName(file.name)}`,
        "content-security-policy": "default-src 'none'; sandbox",
      },
    })) as never;
  });

  return app;
}

const begin = route("beginUpload", "run", {
  method: "post",
  path: "/",
  summary: "Begin to send a file for a run that is still to be started",
  description: `Send the parts in order, each of ${limits.filePartBytes} bytes but for the last, then finish. The file goes after a day, unless a run was started whose input has it: its \`name\`, \`size\` and \`sha256\` in one object.`,
  request: { body: body(beginUploadRequest) },
  responses: { 200: answer("The upload", uploadSchema) },
  fails: [409, 502, 507],
});

const part = route("sendPart", "run", {
  method: "put",
  path: "/{id}/parts/{part}",
  summary: "Send a part of a file",
  description: "Parts count from 0. A part that came before is taken again without effect.",
  request: {
    params: z.object({ id: z.string(), part: z.string() }),
  },
  requestBody: {
    required: true,
    content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } },
  },
  responses: { 200: answer("The part is stored", z.object({})) },
  fails: [400, 404, 409, 413, 502, 507],
});

const finish = route("finishUpload", "run", {
  method: "post",
  path: "/{id}/finish",
  summary: "Check a file that was sent, and keep it",
  request: { params: z.object({ id: z.string() }) },
  responses: { 200: answer("The file, as an input names it", storedFileSchema) },
  fails: [404, 409, 422, 502, 507],
});

/** `/api/loom/uploads`: how people send files. */
export function uploadRoutes({ queue, files, log }: HubContext) {
  const app = createRouter();
  app.onError((error, c) => onError(log)(toFileProblem(error), c));
  // Only of what is answered here: whatever else comes by is read by the middleware that follows.
  app.post("/", bodyLimit({ maxSize: limits.bodyBytes, onError: refuseBody }), exactJson);

  app.openapi(begin, async (c) => {
    const { store, uploads } = opened(files);
    const file = c.req.valid("json");
    const id = await queue.beginUpload(store.id, file);
    const next = await uploads.open(id, file, c.get("identity").who);
    return c.json({ id, next, partBytes: limits.filePartBytes }, 200);
  });

  app.openapi(part, async (c) => {
    const { id, part: at } = c.req.valid("param");
    const number = /^\d{1,6}$/.test(at) ? Number(at) : Number.NaN;
    const { who } = c.get("identity");
    const read = partReader(c as unknown as RequestContext);
    await opened(files).uploads.part(id, number, who, read);
    return c.json({}, 200);
  });

  app.openapi(finish, async (c) => {
    const { id } = c.req.valid("param");
    return c.json(await opened(files).uploads.finish(id, c.get("identity").who), 200);
  });

  return app;
}

function opened(files: HubFiles | undefined): HubFiles {
  if (!files) throw problem("FILES_OFF");
  return files;
}

const refuseBody = (): never => {
  throw problem("BODY_TOO_LARGE");
};

/** As RFC 8187 wants it: all but letters, digits and a few marks is escaped. */
const encodeName = (name: string): string =>
  encodeURIComponent(name).replace(
    /['()*]/g,
    (mark) => `%${mark.charCodeAt(0).toString(16).toUpperCase()}`,
  );
