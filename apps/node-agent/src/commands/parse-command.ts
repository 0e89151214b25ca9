import { parseArgs } from "node:util";
import { parseDuration } from "@loom/workflow";
import { UsageError } from "../errors.ts";

export const USAGE = `usage: loom-agent [command] [options]

  join HUB                     make this machine a node of the hub at an address such as http://100.64.0.1:3000, with the
                               token in LOOM_JOIN_TOKEN or standard input, or as a machine of the hub's tailnet
  leave  [--deadline 1h]       finish what runs, remove the service, give the key back
  start                        run the steps that the hub places on this machine (the default)
  status [--wait]              what the agent of this machine is at; --wait: once the hub has heard of it
  pause  [--note TEXT] [--for 1h]
                               take no work, for a while or until resume
  drain  [--note TEXT] [--deadline 1h] [--wait]
                               take no more work; at the deadline, give back what still runs
  resume                       take work again
  rotate-key                   give this node a new key and revoke the old one; what runs goes on
  doctor                       what is wrong here, and how to fix it
  install   [--user | --system] [--run-as USER] [--print]
                               run as a service of this machine, with the settings of this environment
  uninstall [--user | --system]
                               stop the service and remove it; settings and key stay

  --json        print JSON, on one line
  --name NODE   which agent, where several run here

Exit codes: 0 done, 1 a fault (doctor: something is wrong), 2 usage or settings, 3 no such agent,
4 key refused, 5 not possible as things are, 6 another machine has the node's name,
8 database not reached.
The environment is described in the README.`;

const OPTIONS = {
  json: { type: "boolean", default: false },
  help: { type: "boolean", short: "h", default: false },
  name: { type: "string" },
  note: { type: "string" },
  for: { type: "string" },
  deadline: { type: "string" },
  wait: { type: "boolean", default: false },
  user: { type: "boolean", default: false },
  system: { type: "boolean", default: false },
  "run-as": { type: "string" },
  print: { type: "boolean", default: false },
} as const;

/** Which options each command has, besides `--help`. */
const TAKES: Readonly<Record<string, readonly string[]>> = {
  start: [],
  join: ["json"],
  leave: ["json", "deadline"],
  status: ["json", "name", "wait"],
  pause: ["json", "name", "note", "for"],
  drain: ["json", "name", "note", "deadline", "wait"],
  resume: ["json", "name"],
  "rotate-key": ["json", "name"],
  doctor: ["json"],
  install: ["json", "user", "system", "run-as", "print"],
  uninstall: ["json", "user", "system"],
};

/** A parsed command line. */
export interface Command {
  verb: string;
  json: boolean;
  name: string | undefined;
  note: string | undefined;
  /** The duration of `--for` or `--deadline`. */
  forMs: number | undefined;
  wait: boolean;
  /** The address of a hub. */
  hub: string | undefined;
  scope: "user" | "system" | undefined;
  runAs: string | undefined;
  print: boolean;
}

/**
 * Reads the program's arguments.
 *
 * @throws UsageError that says what was not understood.
 */
export function parseCommand(args: readonly string[]): Command | "help" {
  const { values, positionals } = (() => {
    try {
      return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
    } catch (error) {
      throw new UsageError((error as Error).message.split("\n")[0]);
    }
  })();
  if (values.help) return "help";
  const [verb = "start", ...rest] = positionals;
  const takes = TAKES[verb];
  const hub = verb === "join" ? rest.shift() : undefined;
  if (verb === "join" && hub === undefined) throw new UsageError("join needs the hub's address");
  if (verb === "join" && rest.length > 0) {
    throw new UsageError(
      "join takes the hub's address alone: a token among the arguments is seen by every user of this machine, so give it in LOOM_JOIN_TOKEN or on standard input",
    );
  }
  if (!takes || rest.length > 0) {
    throw new UsageError(`there is no command "${positionals.join(" ")}"`);
  }
  const foreign = Object.entries(values).find(
    ([name, value]) => value !== false && value !== undefined && !takes.includes(name),
  );
  if (foreign) throw new UsageError(`${verb} takes no --${foreign[0]}`);
  if (values.user && values.system) throw new UsageError("--user or --system, not both");
  return {
    verb,
    json: values.json,
    name: values.name,
    note: values.note,
    forMs: toMs("for", values.for) ?? toMs("deadline", values.deadline),
    wait: values.wait,
    hub,
    scope: values.system ? "system" : values.user ? "user" : undefined,
    runAs: values["run-as"],
    print: values.print,
  };
}

function toMs(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  try {
    return parseDuration(text);
  } catch (error) {
    throw new UsageError(`--${option}: ${(error as Error).message}`);
  }
}
