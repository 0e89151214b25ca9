import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { startHub } from "@loom/hub";
import { hubCode } from "@loom/program";
import type { Queue } from "@loom/queue";
import {
  createPlanner,
  createProcessRunner,
  findWorkflowFiles,
  ownCode,
  stepEnvironment,
} from "@loom/worker";
import { onTestFinished } from "vitest";
import { type Body, collectLog, TOKEN } from "./fixtures.ts";

/** What is sent with a request. */
export interface ProcessHubRequest {
  body?: unknown;
  token?: string;
}

/**
 * Starts a hub whose planner and steps are processes, with the workflows of a folder below `workflows`. It ends with the
 * test.
 *
 * @param options.importMs - How long the import of a workflow file may take.
 */
export async function startProcessHub(
  queue: Queue,
  workflows: string,
  options: { importMs?: number } = {},
) {
  const stop = new AbortController();
  const { log, lines } = collectLog();
  const env = stepEnvironment(process.env);
  const modules = await findWorkflowFiles(`${import.meta.dirname}/workflows/${workflows}`);
  const folder = await mkdtemp(path.join(tmpdir(), "loom-code-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const { code } = await hubCode(folder);
  const planner = createPlanner({ modules, code, env, log, ...options });
  const hub = await startHub(
    {
      ...{ queue, planner, log, token: TOKEN, bind: "127.0.0.1", port: 0 },
      runner: createProcessRunner({ code: ownCode(planner.modules), env }),
      node: { name: "oracle" },
    },
    { signal: stop.signal },
  );
  onTestFinished(async () => {
    stop.abort();
    await hub.done;
  });
  return {
    planner,
    lines,
    async ask(method: string, where: string, { body, token = TOKEN }: ProcessHubRequest = {}) {
      const answer = await fetch(`${hub.url}${where}`, {
        method,
        headers: {
          authorization: `Bearer ${token}`,
          ...(body !== undefined && { "content-type": "application/json" }),
        },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as Body };
    },
  };
}
