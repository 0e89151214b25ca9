import { request } from "node:http";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { NoAgentError, RefusedError } from "../errors.ts";
import { findSockets } from "../state-dir.ts";
import type { AgentStatus } from "./agent-status.ts";

const TIMEOUT_MS = 20_000;

/** Dates travel as text. */
export type PrintedStatus = Record<keyof AgentStatus, unknown> & {
  node: string;
  jobs: { id: number; workflow: string; step: string; startedAt: string }[];
};

/** Whether somebody listens at this socket. */
export function isAnswered(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const attempt = connect(socket);
    attempt.on("error", () => resolve(false));
    attempt.on("connect", () => {
      attempt.destroy();
      resolve(true);
    });
  });
}

/**
 * The socket of the agent that runs here.
 *
 * @param name - Its node, where several run.
 * @throws NoAgentError when there is none, or several and no name.
 */
export async function findAgent(
  variables: Readonly<Record<string, string | undefined>>,
  name: string | undefined,
): Promise<string> {
  const sockets = (() => {
    try {
      return findSockets(variables);
    } catch (error) {
      throw new NoAgentError(
        `agents here cannot be looked for: ${(error as Error).message}; try it with sudo`,
      );
    }
  })();
  const running: typeof sockets = [];
  for (const found of sockets) {
    if ((!name || found.node === name) && (await isAnswered(found.socket))) running.push(found);
  }
  const [only, ...others] = running;
  if (!only) {
    throw new NoAgentError(
      `no agent ${name ? `called ${name} ` : ""}runs here for this user; loom-agent start starts one`,
    );
  }
  if (others.length > 0) {
    const names = running.map(({ node }) => node).join(", ");
    throw new NoAgentError(`several agents run here: name one of ${names} with --name`);
  }
  return only.socket;
}

/**
 * Asks a running agent.
 *
 * @throws RefusedError with the agent's code when it could not do it.
 * @throws NoAgentError when it does not answer.
 */
export async function ask(
  socketPath: string,
  method: "GET" | "POST",
  path: string,
  body?: unknown,
): Promise<unknown> {
  const { status, answer } = await new Promise<{ status: number; answer: string }>(
    (resolve, reject) => {
      const asked = request({
        socketPath,
        method,
        path,
        agent: false,
        headers: { host: "loom-agent", "content-type": "application/json" },
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      asked.on("error", (error) => {
        reject(new NoAgentError(`the agent does not answer: ${error.message}`, { cause: error }));
      });
      asked.on("response", (response) => {
        text(response).then(
          (answer) => resolve({ status: response.statusCode ?? 0, answer }),
          reject,
        );
      });
      asked.end(body === undefined ? undefined : JSON.stringify(body));
    },
  );
  const read = JSON.parse(answer) as { code?: string; message?: string };
  if (status >= 400) throw new RefusedError(read.code ?? "INTERNAL", read.message ?? answer);
  return read;
}
