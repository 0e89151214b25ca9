import { text } from "node:stream/consumers";
import { setTimeout } from "node:timers/promises";
import type { Delivery, HookRule, HookTargetRequest } from "@loom/client";
import { hookRules } from "@loom/workflow/hook-rules";
import type { Cli, Program } from "../cli.ts";
import { unknownName, usage } from "../errors.ts";
import { readDuration } from "../input/duration.ts";
import { readNumber } from "../input/number.ts";
import { askSecret } from "../output/ask-secret.ts";
import { ago, inColour } from "../output/text.ts";

/** How long to wait for the end of a test message's first attempt, which may take 10 s. */
const TEST_MS = 20_000;
const LOOK_MS = 500;

/** `hook`: who is notified of what. */
export function defineHook(program: Program, cli: Cli): void {
  const hook = program.command("hook").description("who is notified of what");
  hook
    .command("ls")
    .description("list hooks, with what became of their last messages")
    .action(() => list(cli));
  hook
    .command("add")
    .summary("send messages to a webhook, ntfy, a chat or by e-mail")
    .description(
      "Make a hook. Addresses and secrets are asked for on the terminal, or read from the lines of standard input: they are no arguments, because every user of a machine sees those.",
    )
    .argument("<name>", "a name for it")
    .option(
      "--on <rules>",
      `of ${hookRules.join(", ")}, separated by commas; without it, only for the workflows that name the hook`,
    )
    .option("--webhook", "a signed webhook: address, and a secret unless the hub makes it")
    .option("--ntfy", "a topic of ntfy: address, and an access token if it needs one")
    .option("--slack", "an incoming webhook of Slack, or of what speaks its form: address")
    .option("--email", "e-mail, with the four options below: password, if there is a user")
    .option("--server <address>", "such as smtps://mail.example.org:465")
    .option("--from <address>", "the sender")
    .option("--to <addresses>", "separated by commas")
    .option("--user <user>", "of the mail server")
    .option("--for <workflows>", "only these workflows, separated by commas")
    .option("--waiting <duration>", "for step.waiting: after how long; by default 30m")
    .action((name, options) => add(cli, name, options));
  hook
    .command("rm")
    .description("remove a hook with its messages")
    .argument("<hook>")
    .action(async (name) => {
      const removed = await cli.hub().client.removeHook(name);
      if (cli.json) return cli.printJson({ hook: removed });
      cli.note(`${name} is removed`);
    });
  for (const verb of ["enable", "disable"] as const) {
    hook
      .command(verb)
      .description(
        verb === "enable" ? "send messages from now on" : "send nothing, also of what is pending",
      )
      .argument("<hook>")
      .action(async (name) => {
        const changed = await cli.hub().client.changeHook(name, { enabled: verb === "enable" });
        if (cli.json) return cli.printJson({ hook: changed });
        cli.note(`${name} is ${verb}d`);
      });
  }
  hook
    .command("test")
    .description("send a message, and say whether it arrived")
    .argument("<hook>")
    .option("--no-wait", "do not wait for the answer")
    .action(async (name, { wait }) => {
      await sent(cli, await cli.hub().client.testHook(name), wait);
    });
  hook
    .command("deliveries")
    .description("list the messages of a hook, newest first")
    .argument("<hook>")
    .option("--limit <count>", "how many", "20")
    .action(async (name, { limit }) => {
      const query = { limit: readNumber("--limit", limit, { min: 1, max: 200 }) };
      const { data } = await cli.hub().client.listDeliveries(name, query);
      if (cli.json) return cli.printJson({ deliveries: data });
      if (data.length === 0) return cli.note(`${name} has sent nothing: loom hook test ${name}`);
      cli.table(
        ["ID", "WHEN", "STATE", "TRIES", "ANSWER", "MESSAGE"],
        data.map((each) => [
          each.id,
          ago(each.createdAt),
          inColour(each.state),
          String(each.attempts),
          answerOf(each),
          each.title,
        ]),
      );
    });
  hook
    .command("redeliver")
    .description("send a message again that arrived or was given up")
    .argument("<hook>")
    .argument("<delivery>", "its id, as `loom hook deliveries` prints it")
    .option("--no-wait", "do not wait for the answer")
    .action(async (name, id, { wait }) => {
      await sent(cli, await cli.hub().client.redeliver(name, id), wait);
    });
}

async function list(cli: Cli): Promise<void> {
  const { data } = await cli.hub().client.listHooks();
  if (cli.json) return cli.printJson({ hooks: data });
  if (data.length === 0) {
    return cli.note("there is none: loom hook add NAME --on run.failed --ntfy");
  }
  cli.table(
    ["HOOK", "ON", "WORKFLOWS", "TARGET", "PENDING", "LAST"],
    data.map(({ name, rules, workflows, target, enabled, pending, lastDelivery }) => [
      name,
      rules.join(",") || "as workflows say",
      workflows.join(",") || "all",
      `${target.kind} ${target.address}`,
      String(pending),
      enabled
        ? lastDelivery
          ? `${lastDelivery.state} ${ago(lastDelivery.createdAt)}`
          : "nothing yet"
        : "disabled",
    ]),
  );
}

interface AddOptions {
  on?: string | undefined;
  webhook?: true | undefined;
  ntfy?: true | undefined;
  slack?: true | undefined;
  email?: true | undefined;
  server?: string | undefined;
  from?: string | undefined;
  to?: string | undefined;
  user?: string | undefined;
  for?: string | undefined;
  waiting?: string | undefined;
}

async function add(cli: Cli, name: string, options: AddOptions): Promise<void> {
  const rules = listOf(options.on ?? "").map((given) => toRule(cli, given));
  const waitingMs =
    options.waiting === undefined ? undefined : readDuration("--waiting", options.waiting);
  const target = await readTarget(options);
  const made = await cli.hub().client.createHook({
    name,
    rules,
    target,
    ...(options.for !== undefined && { workflows: listOf(options.for) }),
    ...(waitingMs !== undefined && { waitingMs }),
  });
  if (cli.json) return cli.printJson({ hook: made });
  if (made.secret !== undefined) cli.print(made.secret);
  cli.note(
    `${name} sends to ${made.target.address}${made.secret === undefined ? "" : ", signed with this secret, which is not shown again"}; try it: loom hook test ${name}`,
  );
}

const KINDS = ["webhook", "ntfy", "slack", "email"] as const;

async function readTarget(options: AddOptions): Promise<HookTargetRequest> {
  const [kind, ...others] = KINDS.filter((each) => options[each]);
  if (kind === undefined || others.length > 0) {
    throw usage(
      "a hook has one target",
      "loom hook add NAME --on run.failed --ntfy",
      `one of ${KINDS.map((each) => `--${each}`).join(", ")} is needed`,
    );
  }
  const { server, from, to, user } = options;
  if (kind !== "email") {
    const read = await openSecrets();
    const url = await read("address");
    if (url === "") {
      throw usage(
        "no address was given",
        `loom hook add NAME --on RULES --${kind} < FILE`,
        "standard input has none in its first line",
      );
    }
    if (kind === "slack") return { kind, url };
    const secret = await read(kind === "ntfy" ? "access token (none)" : "secret (the hub's)");
    if (kind === "ntfy") return { kind, url, ...(secret && { token: secret }) };
    return { kind, url, ...(secret && { secret }) };
  }
  if (server === undefined || from === undefined || to === undefined) {
    throw usage(
      "e-mail needs a server, a sender and a receiver",
      "loom hook add NAME --on run.failed --email --server smtps://HOST --from ADDRESS --to ADDRESS",
    );
  }
  const mail = { kind, server, from, to: listOf(to) };
  if (user === undefined) return mail;
  return { ...mail, user, password: await (await openSecrets())("password") };
}

/** Asks for one secret after another on a terminal; elsewhere each is a line of standard input. */
async function openSecrets(): Promise<(what: string) => Promise<string>> {
  const missing = { what: "no answer was given", fix: "loom hook add NAME --on RULES … < FILE" };
  if (process.stdin.isTTY) return (what) => askSecret(`${what}: `, missing);
  const lines = (await text(process.stdin)).split(/\r?\n/);
  return async () => lines.shift()?.trim() ?? "";
}

/** Says what became of a message that was sent on request; exit 1 if it did not arrive. */
async function sent(cli: Cli, { id, hook }: Delivery, wait: boolean): Promise<void> {
  const { client } = cli.hub();
  const until = performance.now() + (wait ? TEST_MS : 0);
  let found: Delivery | undefined;
  for (;;) {
    const { data } = await client.listDeliveries(hook, { limit: 200 });
    found = data.find((each) => each.id === id);
    // While it is sent, it is pending without an error.
    const isOver = found?.state !== "pending" || (found.error !== null && found.attempts > 0);
    if (isOver || performance.now() >= until) break;
    await setTimeout(LOOK_MS);
  }
  if (wait && found?.state !== "delivered") process.exitCode = 1;
  if (cli.json) return cli.printJson({ delivery: found ?? null });
  if (!found) return cli.note(`${hook} was removed meanwhile`);
  const { state, error, tookMs } = found;
  if (state === "delivered") cli.note(`it arrived: ${answerOf(found)}, after ${tookMs} ms`);
  else if (error) cli.note(`it did not arrive: ${error}; see loom hook deliveries ${hook}`);
  else cli.note(`it is on its way; see loom hook deliveries ${hook}`);
}

const answerOf = ({ status, error, answer }: Delivery): string =>
  [status ?? "", error ?? answer ?? ""].filter((part) => part !== "").join(" ") || "–";

const listOf = (text: string): string[] => text.split(",").flatMap((part) => part.trim() || []);

function toRule(cli: Cli, given: string): HookRule {
  const rule = hookRules.find((each) => each === given);
  if (rule) return rule;
  const what = `there is no rule ${JSON.stringify(given)}`;
  const asked = {
    what,
    name: given,
    known: hookRules,
    argv: cli.argv,
    list: "loom hook add --help",
  };
  throw unknownName("USAGE", asked);
}
