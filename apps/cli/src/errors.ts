import { HubError, type Problem } from "@loom/client";
import { suggestNames } from "@loom/did-you-mean";
import { exitOf } from "./exit-codes.ts";
import { fixCommand } from "./hub/fix-command.ts";

/** A failure as a person reads it: what happened, why, and how to fix it, one line each. */
export class CliError extends Error {
  override readonly name = "CliError";
  /** Stable; docs/cli.md lists the codes with their exit codes. */
  readonly code: string;
  readonly why: string;
  /** A command to paste, or a sentence where no command helps. */
  readonly fix: string;
  readonly exit: number;

  constructor(
    code: string,
    {
      what,
      why,
      fix,
      status,
      cause,
    }: { what: string; why: string; fix: string; status?: number; cause?: unknown },
  ) {
    super(what, { cause });
    this.code = code;
    this.why = why;
    this.fix = fix;
    this.exit = exitOf(code, status);
  }
}

/** What is known about the command when it fails. */
export interface Failed {
  /** The arguments as they were typed, for a command that is right. */
  argv: readonly string[];
  /** The hub that was asked; undefined before that is known. */
  url: string | undefined;
}

/** Turns any error into one for a person. An unexpected one keeps its stack in `cause`. */
export function toCliError(error: unknown, { argv, url = "the hub" }: Failed): CliError {
  if (error instanceof CliError) return error;
  if (error instanceof HubError) {
    if (error.code === "UNREADABLE_ANSWER") return notAHub(url, `HTTP ${error.status}`, error);
    return describe(error, { argv, url });
  }
  if (isOfParser(error)) return describeUsage(error, argv);
  // A page instead of an answer.
  if (error instanceof SyntaxError) return notAHub(url, "no JSON", error);
  if (error instanceof DOMException && error.name === "TimeoutError") {
    return hubAway(url, "the request had no answer within 30 s", error);
  }
  if (error instanceof TypeError && error.message === "fetch failed") {
    return hubAway(url, String((error.cause as Error | undefined)?.message ?? "no answer"), error);
  }
  const what = error instanceof Error ? error.message : String(error);
  const why = "this is a fault of the program, or of something that it uses";
  return new CliError("FAULT", { what, why, fix: "report it with LOOM_DEBUG=1", cause: error });
}

export const hubAway = (url: string, why: string, cause?: unknown): CliError =>
  new CliError("HUB_AWAY", {
    what: `no hub answers at ${url}`,
    why,
    fix: "start it there with `npm start`, or choose another hub: loom context ls",
    cause,
  });

const notAHub = (url: string, answer: string, cause: unknown): CliError =>
  new CliError("NOT_A_HUB", {
    what: `what answers at ${url} is not a Loom hub`,
    why: `it answered ${answer}`,
    fix: "loom login http://HOST:PORT, with the address that `npm start` prints",
    cause,
  });

export const usage = (what: string, fix: string, why = "the command line is not understood") =>
  new CliError("USAGE", { what, why, fix });

/** An error of the parser of the command line. */
const isOfParser = (error: unknown): error is Error =>
  error instanceof Error && String((error as { code?: unknown }).code).startsWith("commander.");

function describeUsage({ message }: Error, argv: readonly string[]): CliError {
  const [what = "", hint] = message.replace(/^error: /, "").split("\n");
  const meant = /Did you mean (?:one of )?(.+?)\?/.exec(hint ?? "")?.[1];
  const wrong = /'([^']*)'/.exec(what)?.[1];
  const verb = argv.find((word) => !word.startsWith("-") && word !== wrong);
  const [best] = meant?.split(", ") ?? [];
  return usage(
    what,
    best && wrong ? correct(argv, wrong, best) : `loom ${verb ? `${quote(verb)} ` : ""}--help`,
    meant ? `you may mean ${meant}` : undefined,
  );
}

/** A name that does not exist, with those that may have been meant. */
export function unknownName(
  code: string,
  {
    what,
    name,
    known,
    argv,
    list,
  }: {
    /** The sentence, such as `there is no context home`. */
    what: string;
    name: string;
    known: readonly string[];
    argv: readonly string[];
    /** The command that lists the known ones. */
    list: string;
  },
): CliError {
  const [best, ...others] = suggestNames(name, [...known]);
  const shown = known.slice(0, 8).join(", ") + (known.length > 8 ? ", …" : "");
  return new CliError(code, {
    what,
    why: best
      ? `you may mean ${[best, ...others].join(" or ")}`
      : known.length > 0
        ? `there are ${shown}`
        : "there is none",
    fix: best ? correct(argv, name, best) : list,
  });
}

/** The command as it was typed, with one word replaced. */
const correct = (argv: readonly string[], wrong: string, right: string): string =>
  `loom ${argv.map((word) => quote(word === wrong ? right : word)).join(" ")}`;

/** A word for a shell. */
const quote = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;

/** Which command lists what could have been named, by the hub's code. */
const LISTS: Readonly<Record<string, string>> = {
  UNKNOWN_WORKFLOW: "loom workflow ls",
  RUN_NOT_FOUND: "loom runs",
  JOB_NOT_FOUND: "loom queue",
  NODE_NOT_FOUND: "loom node ls",
  SCHEDULE_NOT_FOUND: "loom schedule ls",
  TOKEN_NOT_FOUND: "loom token ls",
  HOOK_NOT_FOUND: "loom hook ls",
};

/** A refusal of the hub. Its hints name operations of the API; here they name commands. */
function describe(error: HubError, { argv, url = "the hub" }: Failed): CliError {
  const { code, status } = error;
  const problem: Partial<Problem> = error.problem ?? {};
  const { detail = error.message, hint = "loom doctor", errors = [], suggestions = [] } = problem;
  const say = (why: string, fix: string, what = detail) =>
    new CliError(code, { what, why, fix, status, cause: error });

  const [sentence = detail] = detail.split("; did you mean");
  const [best] = suggestions;
  const name = /^(?:there is no \w+|workflow \S+ has no step) (.+)$/.exec(sentence)?.[1];
  if (best !== undefined && name !== undefined && argv.includes(name)) {
    return say(`you may mean ${suggestions.join(" or ")}`, correct(argv, name, best), sentence);
  }
  const list = LISTS[code];
  if (list !== undefined) return say(`${url} does not know it`, list, sentence);

  switch (code) {
    case "UNAUTHORIZED":
      return say(
        `${url} answered so to the token that is saved or set for it, or to none`,
        `loom login ${url}`,
      );
    case "SCOPE_MISSING":
      return say(
        `the token for ${url} does not allow it`,
        `let an administrator make one (loom token add NAME --scope …), then: loom login ${url}`,
      );
    case "UNSATISFIABLE":
      return unsatisfiable(error, problem);
    case "INVALID_INPUT":
    case "INVALID_REQUEST": {
      const why = errors.map(({ path, message }) => `${path} ${message}`).join("; ");
      const workflow =
        argv[0] === "run" ? argv.find((word, at) => at > 0 && !word.startsWith("-")) : undefined;
      return say(why || detail, workflow ? `loom show ${quote(workflow)}` : "loom help");
    }
    case "INTERNAL":
      return say(`the hub's log has more under the request ${error.requestId}`, "loom doctor");
    default:
      return say(`${url} refused it (${status} ${code})`, hint);
  }
}

function unsatisfiable(error: HubError, { explanations = [] }: Partial<Problem>): CliError {
  const [first] = explanations;
  return new CliError(error.code, {
    what: `no known node could ever run step ${first?.step ?? "?"}`,
    why: first?.explanation.summary ?? error.message,
    fix: `${(first && fixCommand(first.explanation)) || "loom node add"} (or let it wait for such a node: --allow-unsatisfiable)`,
    status: error.status,
    cause: error,
  });
}
