import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type System, startSystem } from "../support/system.ts";
import { openTerminal } from "../support/tmux.ts";
import { commandsOf, normalise, type Session, sessionsOf } from "./session.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const README = path.join(ROOT, "README.md");

/** The address that the document has for its hub. */
const ADDRESS = "http://127.0.0.1:3000";
const COMMAND_MS = 60_000;
const POLL_MS = 50;

/** The machines of a session beside the hub's own, oracle. */
const MACHINES: Readonly<Record<string, { name: string; offers: string[] }>> = {
  visit: { name: "tower", offers: [] },
  exec: { name: "pop-os", offers: ["has-gpu"] },
};

/**
 * Plays the sessions of the README: types their commands into a real terminal, beside a real hub and agents.
 *
 * @returns The sessions as they went, without what differs each time.
 * @throws Error when a command does not end within a minute.
 */
export async function playSessions(): Promise<Session[]> {
  const document = readFileSync(README, "utf8");
  await using stack = new AsyncDisposableStack();
  const scratch = (parent: string) => {
    const folder = mkdtempSync(parent);
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    return folder;
  };
  // Here its imports are found.
  const workflows = scratch(path.join(ROOT, "e2e/.session-"));
  writeFileSync(path.join(workflows, "visit.ts"), workflowOf(document));
  const home = scratch(path.join(tmpdir(), "loom-session-"));
  const exec = { LOOM_EXEC: "any", LOOM_EXEC_ON_HUB: "1" };
  const system = await startSystem({
    workflows: pathToFileURL(`${workflows}/`),
    hubEnv: exec,
  });
  stack.defer(() => system.stop());
  // The clone as the commands see it: its token, and the script `loom`.
  mkdirSync(path.join(home, ".loom"));
  writeFileSync(path.join(home, ".loom/token"), system.token, { mode: 0o600 });
  const program = `exec '${process.execPath}' --conditions=@loom/source '${path.join(ROOT, "apps/cli/src/clone.mjs")}'`;
  writeFileSync(path.join(home, "package.json"), JSON.stringify({ scripts: { loom: program } }));

  const played: Session[] = [];
  let terminal: Awaited<ReturnType<typeof openTerminal>> | undefined;
  const env = { PATH: process.env.PATH ?? "", HOME: home, LOOM_CONFIG_DIR: home };
  let aliases = "";
  for (const session of sessionsOf(document)) {
    const machine = MACHINES[session.name];
    if (!machine) throw new Error(`no machines are known for the session ${session.name}`);
    const agent = await system.startAgent(machine.name, machine.offers, {
      env: { ...exec, LOOM_CODE_KEY: system.codeKey },
    });
    await untilKnown(system, machine.name);
    terminal = await openTerminal({ ...env }, { cwd: home, columns: 250 });
    const opened = terminal;
    stack.defer(() => opened[Symbol.asyncDispose]());
    if (aliases !== "") await run(opened, aliases);
    const before = aliases === "" ? 0 : 1;
    for (const command of commandsOf(session)) {
      await run(opened, command.replaceAll(ADDRESS, system.url));
      if (command.startsWith("alias ")) aliases = command;
    }
    const history = (await opened.history()).replaceAll(system.url, ADDRESS);
    const lines = history.split("\n").map((line) => line.trimEnd());
    // Without the prompt at the end, and what prepared the terminal.
    played.push({ name: session.name, text: normalise(`${lines.slice(before, -1).join("\n")}\n`) });
    await agent.stop();
    await system.queue.removeNode(machine.name, { force: true });
  }
  return played;
}

/** The workflow that the sessions run: the document's own. */
function workflowOf(document: string): string {
  const code = /```ts\n([\s\S]*?)```/.exec(document)?.[1];
  if (!code) throw new Error("README.md has no workflow");
  return code;
}

/** Types a command, and waits until the prompt is back. */
async function run(
  terminal: Awaited<ReturnType<typeof openTerminal>>,
  command: string,
): Promise<void> {
  const prompts = async () =>
    (await terminal.history()).split("\n").filter((line) => /^\$( |$)/.test(line)).length;
  const isReady = async () => (await terminal.history()).split("\n").at(-1) === "$";
  const until = async (isSo: () => Promise<boolean>, what: string) => {
    const deadline = performance.now() + COMMAND_MS;
    while (!(await isSo())) {
      if (performance.now() > deadline) {
        throw new Error(`${what} within ${COMMAND_MS} ms:\n${await terminal.history()}`);
      }
      await sleep(POLL_MS);
    }
  };
  await until(isReady, "no prompt came");
  const before = await prompts();
  await terminal.type(`${command}\n`);
  await until(
    async () => (await prompts()) > before && (await isReady()),
    `${command} did not end`,
  );
}

/** Waits until the hub knows what the machine offers. */
async function untilKnown(system: System, name: string): Promise<void> {
  const deadline = performance.now() + COMMAND_MS;
  for (;;) {
    const { status, body } = await system.call("GET", `/nodes/${name}`);
    if (status === 200 && (body.capabilities as string[]).includes("exec")) return;
    if (performance.now() > deadline) throw new Error(`${name} did not report: ${status}`);
    await sleep(POLL_MS);
  }
}
