import { parseArgs } from "node:util";
import { parseDuration } from "@loom/workflow";
import { UsageError } from "../errors.ts";

export const USAGE = `usage: loom-agent [command] [options]

  start                        run the steps that the hub places on this machine (the default)
  status                       what the agent of this machine is at
  pause  [--note TEXT] [--for 1h]
                               take no work, for a while or until resume
  drain  [--note TEXT] [--deadline 1h] [--wait]
                               take no more work; at the deadline, give back what still runs
  resume                       take work again
  doctor                       what is wrong here, and how to mend it
  install   [--user | --system] [--run-as USER] [--print]
                               run as a service of systemd, with the settings of this environment
  uninstall [--user | --system]
                               stop the service and remove it; settings and key stay

  --json        print JSON, on one line
  --name NODE   which agent, where several run here

Exit codes: 0 done, 1 a fault (doctor: something is wrong), 2 usage or settings, 3 no such agent,
4 key refused, 5 not possible as things are, 8 database not reached.
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
  status: ["json", "name"],
  pause: ["json", "name", "note", "for"],
  drain: ["json", "name", "note", "deadline", "wait"],
  resume: ["json", "name"],
  doctor: ["json"],
  install: ["json", "user", "system", "run-as", "print"],
  uninstall: ["json", "user", "system"],
};

/** What somebody asked for. */
export interface Command {
  verb: string;
  json: boolean;
  name: string | undefined;
  note: string | undefined;
  /** Of `--for` or `--deadline`. */
  forMs: number | undefined;
  wait: boolean;
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
