import { text } from "node:stream/consumers";
import { HubError } from "@loom/client";
import type { Cli, Program } from "../cli.ts";
import { CliError, unknownName, usage } from "../errors.ts";
import { createClient, toUrl } from "../hub/connect.ts";
import { contextsFile, readContexts, writeContexts } from "../hub/contexts.ts";
import { askSecret } from "../output/ask-secret.ts";

/** `login` and `context`: which hubs there are, and which one commands talk to. */
export function defineLogin(program: Program, cli: Cli): void {
  program
    .command("login")
    .summary("save a hub's address and token")
    .description(
      "Save a hub's address and token, and talk to it from now on.\n\nThe token is read from standard input, or asked for on a terminal. Without an address the hub is looked for in the tailnet.",
    )
    .argument("[url]", "the hub's address, such as http://pi:3000")
    .option("--name <name>", "what to call the context; by default the hub's host name")
    .action((url, { name }) => login(cli, url ?? cli.env.LOOM_URL, name));

  const context = program.command("context").description("the hubs that somebody logged in to");
  context
    .command("ls")
    .description("list them")
    .action(() => list(cli));
  context
    .command("use")
    .description("talk to another one from now on")
    .argument("<context>")
    .action((name) => use(cli, name));
  context
    .command("rm")
    .description("forget one, and its token")
    .argument("<context>")
    .action((name) => remove(cli, name));
}

async function login(cli: Cli, given: string | undefined, name: string | undefined): Promise<void> {
  const url = toUrl(given ?? (await findHub()));
  const token = process.stdin.isTTY ? await askIfNeeded(cli, url) : await readToken();
  const { who, scopes } = await createClient({ url, token }).getSession();
  const saved = readContexts(cli.env);
  const called = name ?? nameFor(url, saved.contexts);
  if (!/^[\w.-]{1,63}$/.test(called)) {
    throw usage(`"${called}" is not a name for a context`, "use letters, digits, dots and hyphens");
  }
  saved.contexts[called] = { url, ...(token !== undefined && { token }) };
  writeContexts(cli.env, { ...saved, current: called });
  if (cli.json) return cli.printJson({ context: { name: called, url, who, scopes } });
  cli.note(`logged in to ${url} as ${who} (${scopes.join(", ")}); context ${called}`);
}

/** A hub that knows this machine or person needs no token; everybody else is asked for one. */
async function askIfNeeded(cli: Cli, url: string): Promise<string | undefined> {
  try {
    await createClient({ url, token: undefined }).getSession();
    return undefined;
  } catch (error) {
    if (!(error instanceof HubError) || error.code !== "UNAUTHORIZED") throw error;
  }
  cli.note(`hub ${url}`);
  return asToken(
    await askSecret("token: ", {
      what: "no token was given",
      fix: "loom login URL < FILE, with a file that holds the token alone",
    }),
  );
}

/** The token of standard input; nothing there means that none is needed. */
async function readToken(): Promise<string | undefined> {
  const given = (await text(process.stdin)).trim();
  return given === "" ? undefined : asToken(given);
}

/** One word of printable ASCII, as a header can carry it. */
function asToken(given: string): string {
  if (/^[\x21-\x7e]{1,4096}$/.test(given)) return given;
  throw usage(
    "what was given is not a token",
    "loom login URL < FILE, with a file that holds the token alone",
    "a token is one word of ASCII characters",
  );
}

/** The host's first name; with the port where that name is taken by another hub. */
function nameFor(url: string, known: Readonly<Record<string, { url: string }>>): string {
  const { hostname, port } = new URL(url);
  const isAddress = /^[\d.]+$|^\[/.test(hostname);
  const host = isAddress ? hostname.replaceAll(/[[\]]/g, "").replaceAll(":", "-") : hostname;
  const name = isAddress ? host : (host.split(".")[0] ?? host);
  return known[name] === undefined || known[name].url === url ? name : `${host}-${port || "web"}`;
}

/**
 * Looks for the hub on the machines of the tailnet. Only a person at a terminal, who sees the address
 * before the token is asked for, gets it so: a script has to name the hub that its token is for.
 */
async function findHub(): Promise<string> {
  const { findHubs } = await import("../hub/find-hubs.ts");
  const { urls, problem } = await findHubs();
  const [only, ...others] = urls;
  if (only !== undefined && others.length === 0 && process.stdin.isTTY) return only;
  throw new CliError("NO_HUB", {
    what: "login needs the address of the hub",
    why:
      urls.length > 0
        ? `in the tailnet a hub answers at ${urls.join(" and ")}`
        : (problem ?? "no machine of the tailnet answers as a hub on port 3000"),
    fix: `loom login ${urls[0] ?? "http://HOST:3000"}`,
  });
}

function list(cli: Cli) {
  const { current, contexts } = readContexts(cli.env);
  const rows = Object.entries(contexts).map(([name, { url, token }]) => ({
    name,
    url,
    current: name === current,
    hasToken: token !== undefined,
  }));
  if (cli.json) return cli.printJson({ contexts: rows });
  if (rows.length === 0) return cli.note("nobody logged in here: loom login http://HOST:3000");
  cli.table(
    ["", "NAME", "HUB", "TOKEN"],
    rows.map(({ name, url, current: isCurrent, hasToken }) => [
      isCurrent ? { text: "*", colour: "green" } : "",
      name,
      url,
      hasToken ? "saved" : "none",
    ]),
  );
  if (cli.env.LOOM_URL) cli.note(`LOOM_URL is set, so commands talk to ${cli.env.LOOM_URL}`);
}

function use(cli: Cli, name: string) {
  const saved = readContexts(cli.env);
  check(cli, name, saved.contexts);
  writeContexts(cli.env, { ...saved, current: name });
  if (cli.json) return cli.printJson({ context: { name, url: saved.contexts[name]?.url } });
  cli.note(`commands talk to ${saved.contexts[name]?.url} now`);
}

function remove(cli: Cli, name: string) {
  const { current, contexts } = readContexts(cli.env);
  check(cli, name, contexts);
  const { [name]: removed, ...others } = contexts;
  writeContexts(cli.env, { current: current === name ? null : current, contexts: others });
  if (cli.json) return cli.printJson({ removed: { name, url: removed?.url } });
  cli.note(
    `forgot ${name}; its token is valid until somebody revokes it: loom token ls (${contextsFile(cli.env)})`,
  );
}

function check(cli: Cli, name: string, contexts: object): void {
  if (Object.hasOwn(contexts, name)) return;
  throw unknownName("UNKNOWN_CONTEXT", {
    what: `there is no context ${name}`,
    name,
    known: Object.keys(contexts),
    argv: cli.argv,
    list: "loom context ls",
  });
}
