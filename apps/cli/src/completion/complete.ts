import type { Command, Option } from "@commander-js/extra-typings";
import type { HubClient } from "@loom/client";
import { hookRules } from "@loom/workflow/hook-rules";
import type { Cli } from "../cli.ts";
import { createClient, findTarget } from "../hub/connect.ts";
import { readContexts } from "../hub/contexts.ts";
import { ago, shortId } from "../output/text.ts";

/** A word that may stand next, and what it is. */
interface Candidate {
  word: string;
  about: string;
}

/** How long somebody who presses Tab waits for the hub, unless `LOOM_COMPLETION_MS` says otherwise. */
const PATIENCE_MS = 300;

type AnyCommand = Pick<Command, "commands" | "options" | "registeredArguments">;

/**
 * Finds the words that may stand in place of the last one.
 *
 * Names come from the hub. One that does not answer within 300 ms, or refuses, offers none: nothing is
 * printed, because the person is in the middle of a line.
 *
 * @param words - Those after `loom`; the last one is being typed, and may be empty.
 */
export async function complete(
  program: AnyCommand,
  words: readonly string[],
  cli: Pick<Cli, "env">,
): Promise<Candidate[]> {
  const typed = words.at(-1) ?? "";
  const place = findPlace(program, words.slice(0, -1));
  const candidates = await candidatesFor(program, { ...place, typed, words, env: cli.env });
  return candidates.filter(({ word }) => word.startsWith(typed));
}

interface Place {
  command: AnyCommand;
  /** The option whose value comes next. */
  option: Option | undefined;
  /** The arguments of the command so far. */
  before: string[];
}

/** Follows the words to the command, or the option, that the next word belongs to. */
function findPlace(program: AnyCommand, words: readonly string[]): Place {
  let command = program;
  let option: Option | undefined;
  let before: string[] = [];
  for (const word of words) {
    if (option) {
      option = undefined;
      continue;
    }
    if (word.startsWith("-")) {
      const all = [...command.options, ...program.options];
      const found = all.find(({ long, short }) => long === word || short === word);
      option = found && (found.required || found.optional) ? found : undefined;
      continue;
    }
    const next = command.commands.find((each) => each.name() === word);
    if (next && before.length === 0) command = next;
    else before = [...before, word];
  }
  return { command, option, before };
}

interface Asked extends Place {
  typed: string;
  words: readonly string[];
  env: NodeJS.ProcessEnv;
}

async function candidatesFor(program: AnyCommand, asked: Asked): Promise<Candidate[]> {
  const { command, option, before, typed } = asked;
  if (option) return namesFor(option.attributeName(), asked);
  if (typed.startsWith("-")) {
    const options = [...new Set([...command.options, ...program.options])];
    return options.flatMap(({ long, description }) =>
      long ? [{ word: long, about: description }] : [],
    );
  }
  if (command.commands.length > 0) {
    return command.commands
      .filter((each) => !each.name().startsWith("__"))
      .map((each) => ({ word: each.name(), about: each.summary() || each.description() }));
  }
  const all = command.registeredArguments;
  const argument = all[before.length] ?? all.findLast(({ variadic }) => variadic);
  return argument ? namesFor(argument.name(), asked) : [];
}

const fixed = (words: readonly string[], about: string): Candidate[] =>
  words.map((word) => ({ word, about }));

/** The names of one kind: that of an argument, or of an option's value. */
async function namesFor(
  kind: string,
  { command, env, before, words }: Asked,
): Promise<Candidate[]> {
  if (kind === "shell") return fixed(["bash", "zsh", "fish"], "a shell");
  if (kind === "on") return fixed(hookRules, "a rule");
  if (kind === "scope") return fixed(["read", "run", "exec", "operate", "admin"], "a scope");
  if (kind === "allow") return fixed(["run", "operate"], "tools that change something");
  if (kind === "status") return fixed(["running", "succeeded", "failed", "cancelled"], "a status");
  if (kind === "state") {
    return fixed(
      ["running", "mapping", "pending", "waiting", "suspended", "blocked", "failed"],
      "a state",
    );
  }
  const asks = DECISIONS.has(nameOf(command)) ? FROM_APPROVALS[kind] : undefined;
  const list = asks ?? FROM_HUB[kind];
  try {
    if (kind === "context") {
      const { contexts } = readContexts(env);
      return Object.entries(contexts).map(([word, { url }]) => ({ word, about: url }));
    }
    if (!list) return [];
    const at = words.indexOf("--context");
    const hub = createClient(findTarget(env, at < 0 ? undefined : words[at + 1]), { retries: 0 });
    const patienceMs = Number(env.LOOM_COMPLETION_MS) || PATIENCE_MS;
    return await list(hub, AbortSignal.timeout(patienceMs), before);
  } catch {
    return [];
  }
}

type List = (hub: HubClient, signal: AbortSignal, before: string[]) => Promise<Candidate[]>;

const listRuns: List = async (hub, signal) => {
  const { data } = await hub.listRuns({ limit: 20 }, { signal });
  return data.map(({ id, workflow, status, createdAt }) => ({
    word: shortId(id),
    about: `${workflow}, ${status}, ${ago(createdAt)}`,
  }));
};

const listWorkflows: List = async (hub, signal) => {
  const { data } = await hub.listStrands({ signal });
  return data.map(({ name, steps }) => ({ word: name, about: `${steps.length} steps` }));
};

const listSteps: List = async (hub, signal, [run = ""]) => {
  const { data } = await hub.listRuns({ limit: 200 }, { signal });
  const found = data.find(({ id, workflow }) => id.startsWith(run) || workflow === run);
  if (!found) return [];
  const { steps } = await hub.getRun(found.id, { signal });
  return steps.map(({ step, state }) => ({ word: step, about: state }));
};

/** Commands whose runs and steps are those that ask a person. */
const DECISIONS: ReadonlySet<string> = new Set(["approve", "reject"]);
const nameOf = (command: AnyCommand): string =>
  "name" in command && typeof command.name === "function" ? String(command.name()) : "";

const FROM_APPROVALS: Readonly<Record<string, List>> = {
  run: async (hub, signal) => {
    const { data } = await hub.listApprovals({ limit: 50 }, { signal });
    return data.map(({ runId, workflow, title }) => ({
      word: shortId(runId),
      about: `${workflow}: ${title}`,
    }));
  },
  step: async (hub, signal, [run = ""]) => {
    const { data } = await hub.listApprovals({ limit: 200 }, { signal });
    return data
      .filter(({ runId }) => runId.startsWith(run))
      .map(({ step, title }) => ({ word: step, about: title }));
  },
};

/** How the names of a kind are listed, by the name of the argument or option. */
const FROM_HUB: Readonly<Record<string, List>> = {
  workflow: listWorkflows,
  run: listRuns,
  step: listSteps,
  from: listSteps,
  subject: async (...asked) => [...(await listRuns(...asked)), ...(await listWorkflows(...asked))],
  node: async (hub, signal) => {
    const { data } = await hub.listNodes({ signal });
    return data.map(({ name, online, status }) => ({
      word: name,
      about: online ? status : "offline",
    }));
  },
  hook: async (hub, signal) => {
    const { data } = await hub.listHooks({ signal });
    return data.map(({ name, target }) => ({ word: name, about: target.kind }));
  },
  schedule: async (hub, signal) => {
    const { data } = await hub.listSchedules({ signal });
    return data.map(({ id, expression }) => ({ word: id, about: expression }));
  },
};
