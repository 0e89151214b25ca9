import { setTimeout } from "node:timers/promises";
import { HubError, type Node, type NodeVerb, type UpgradeOrdered } from "@loom/client";
import { EXEC_CAPABILITY } from "@loom/workflow/exec";
import type { Cli, Program } from "../cli.ts";
import { CliError, unknownName, usage } from "../errors.ts";
import { readDuration } from "../input/duration.ts";
import { ago, type Cell, clean, inColour, span } from "../output/text.ts";

/** How often to look whether a machine has joined, or a node has finished its work. */
const LOOK_MS = 1_000;

/** `node`: the machines. */
export function defineNode(program: Program, cli: Cli): void {
  const node = program.command("node").description("the machines that run steps");
  node
    .command("ls")
    .description("list them, with what they do and offer")
    .action(async () => {
      const { data } = await cli.hub().client.listNodes();
      if (cli.json) return cli.printJson({ nodes: data });
      cli.table(
        ["NODE", "STATE", "SLOTS", "SEEN", "OFFERS"],
        data.map((each) => [
          each.name,
          stateOf(each),
          `${each.running}/${each.slots}`,
          seen(each),
          each.capabilities.filter(isTelling).join(", "),
        ]),
      );
    });
  node
    .command("show")
    .description("show one in full")
    .argument("<node>")
    .action(async (name) => {
      const found = await cli.hub().client.getNode(name);
      if (cli.json) return cli.printJson({ node: found });
      show(cli, found);
    });
  node
    .command("add")
    .summary("print the line with which a machine joins")
    .description(
      "Make a token for one machine, and print the line to paste into a terminal there. On a terminal, wait until the machine works.",
    )
    .argument("[node]", "the machine's name; by default it says its own")
    .option("--may-offer <names>", "what it may declare, separated by commas; * for all")
    .option("--allow-exec", "let it run commands of `loom exec`")
    .option("--expires <duration>", "how long the line can be used, in minutes", "15m")
    .option("--no-wait", "do not wait for the machine")
    .action((name, options) => add(cli, name, options));
  node
    .command("pause")
    .description("give it no new work, for a while or until it is resumed")
    .argument("<node>")
    .option("--for <duration>", "when it goes on by itself")
    .option("--note <text>", "why, for others")
    .action((name, { for: until, note }) => steer(cli, "pause", { name, until, note }));
  node
    .command("drain")
    .description("give it no new work; at the deadline, stop what still runs")
    .argument("<node>")
    .option("--deadline <duration>", "by default there is none")
    .option("--note <text>", "why, for others")
    .option("--wait", "wait until nothing runs there")
    .action(async (name, { deadline, note, wait }) => {
      await steer(cli, "drain", { name, until: deadline, note });
      if (wait) await untilIdle(cli, name);
    });
  node
    .command("resume")
    .description("give it work again")
    .argument("<node>")
    .action((name) => steer(cli, "resume", { name }));
  node
    .command("allow")
    .description("let it offer names that it declares")
    .argument("<node>")
    .argument("<capability...>", "names without their values; * for all")
    .option("--forbid", "take the permission back")
    .action(async (name, names, { forbid }) => {
      const { client } = cli.hub();
      const allowed = await onNode(cli, name, () =>
        client.allowOffers(name, { names, allow: !forbid }),
      );
      if (cli.json) return cli.printJson({ allowed: { node: name, ...allowed } });
      cli.note(`${name} may offer ${allowed.mayOffer.join(", ") || "nothing that it declares"}`);
    });
  node
    .command("upgrade")
    .description("let a node, or all of them, take the agent that the hub has")
    .argument("[node]")
    .option("--all", "all nodes, one after the other")
    .action((name, { all }) => upgrade(cli, name, all));
  node
    .command("remove")
    .description("revoke its keys, give its work back and forget it")
    .argument("<node>")
    .option("--force", "even while it runs steps")
    .action(async (name, { force }) => {
      const { client } = cli.hub();
      const removed = await onNode(cli, name, () =>
        client.removeNode(name, { force: force ?? false }),
      );
      if (cli.json) return cli.printJson({ removed: { node: name, ...removed } });
      cli.note(`forgot ${name}; ${removed.requeued} jobs went back to the queue`);
    });
}

/** The hub does not say which names are known when it cannot steer a node. */
async function onNode<Answer>(cli: Cli, name: string, ask: () => Promise<Answer>): Promise<Answer> {
  try {
    return await ask();
  } catch (error) {
    const isUnknown = error instanceof HubError && error.code === "NODE_NOT_FOUND";
    if (!isUnknown || error.problem?.suggestions) throw error;
    const { data } = await cli.hub().client.listNodes();
    throw unknownName("NODE_NOT_FOUND", {
      what: `there is no node ${name}`,
      name,
      known: data.map((node) => node.name),
      argv: cli.argv,
      list: "loom node ls",
    });
  }
}

/** Nodes offer these all alike, or say them elsewhere in the list. */
const isTelling = (capability: string): boolean =>
  !/^(node=|workflow:|loom-agent$|code$)/.test(capability);

/** Offline beats a status: an offline node takes nothing, whatever it was asked to do. */
const stateOf = ({ online, status }: Node): Cell => inColour(online ? status : "offline");

const seen = ({ lastSeenMs }: Node): string =>
  lastSeenMs === null ? "never" : `${span(lastSeenMs)} ago`;

/** How a node stands to the agent that its hub has. */
function upgradeOf({ name, agent }: Node): string {
  if (agent?.drainsUntil) {
    return `when what runs has ended, at the latest at ${agent.drainsUntil}`;
  }
  return agent?.problem ?? (agent?.isPresent === false ? `loom node upgrade ${name}` : "");
}

function show(cli: Cli, node: Node): void {
  const { name, status, statusNote, statusUntil, agentVersion, tailnetAddress } = node;
  const note = [statusNote, statusUntil && `ends ${ago(statusUntil)}`].filter(Boolean).join("; ");
  const rows: [string, Cell][] = [
    ["node", name],
    ["state", stateOf(node)],
    [status, note],
    ["seen", seen(node)],
    ["slots", `${node.running} run, ${node.offered} offered, of ${node.slots}`],
    ["address", tailnetAddress ?? ""],
    ["agent", agentVersion ?? ""],
    ["upgrade", upgradeOf(node)],
  ];
  cli.table(
    ["", ""],
    rows.filter(([, value]) => value !== ""),
  );
  cli.print("");
  for (const capability of node.capabilities) cli.print(`offers    ${clean(capability)}`);
  for (const asked of node.askedCapabilities) {
    cli.print(`declares  ${clean(asked)}: loom node allow ${name} ${clean(asked)}`);
  }
}

async function steer(
  cli: Cli,
  verb: NodeVerb,
  { name, until, note }: { name: string; until?: string | undefined; note?: string | undefined },
): Promise<void> {
  const forMs =
    until === undefined
      ? undefined
      : readDuration(verb === "pause" ? "--for" : "--deadline", until);
  const body = { ...(forMs !== undefined && { forMs }), ...(note !== undefined && { note }) };
  const { client } = cli.hub();
  const { status, returned } = await onNode(cli, name, () => client.steerNode(name, verb, body));
  if (cli.json) return cli.printJson({ node: { name, status, returned } });
  cli.note(`${name} is ${status}${returned > 0 ? `; ${returned} offers went back` : ""}`);
}

async function untilIdle(cli: Cli, name: string): Promise<void> {
  for (;;) {
    const { running } = await cli.hub().client.getNode(name);
    if (running === 0) break;
    await setTimeout(LOOK_MS);
  }
  if (!cli.json) cli.note(`nothing runs on ${name}`);
}

async function add(
  cli: Cli,
  node: string | undefined,
  {
    mayOffer,
    allowExec,
    expires,
    wait,
  }: {
    mayOffer?: string | undefined;
    allowExec?: true | undefined;
    expires: string;
    wait: boolean;
  },
): Promise<void> {
  const expiresInMinutes = readDuration("--expires", expires) / 60_000;
  if (!Number.isInteger(expiresInMinutes)) {
    throw usage("--expires takes whole minutes", "--expires 15m", `it got ${expires}`);
  }
  const { client } = cli.hub();
  const names = [
    ...(mayOffer?.split(",").map((name) => name.trim()) ?? []),
    ...(allowExec ? [EXEC_CAPABILITY] : []),
  ];
  const made = await client.createJoinToken({
    expiresInMinutes,
    ...(node !== undefined && { node }),
    ...(names.length > 0 && { mayOffer: names }),
  });
  if (cli.json) return cli.printJson({ joinToken: made });
  cli.print(made.line);
  if (!wait || !cli.isTerminal) return;
  cli.note(`\npaste it on ${node ?? "the machine"}; it can be used once, within ${expires}`);
  const joined = await untilJoined(cli, made.id, made.expiresAt);
  cli.note(`${cli.paint(inColour("ok"))}  ${joined} has joined`);
  const online = await untilOnline(cli, joined, made.expiresAt);
  const offers = online.capabilities.filter(isTelling).join(", ");
  cli.note(`${cli.paint(inColour("ok"))}  ${joined} works; it offers ${offers}`);
  if (online.askedCapabilities.length > 0) {
    cli.note(`it declares more: loom node allow ${joined} ${online.askedCapabilities.join(" ")}`);
  }
}

async function untilJoined(cli: Cli, id: string, expiresAt: string): Promise<string> {
  for (;;) {
    const { data } = await cli.hub().client.listJoinTokens();
    const node = data.find((each) => each.id === id)?.joined[0]?.node;
    if (node !== undefined) return node;
    await pause(expiresAt, "no machine has joined");
  }
}

async function untilOnline(cli: Cli, name: string, expiresAt: string): Promise<Node> {
  for (;;) {
    const { data } = await cli.hub().client.listNodes();
    const node = data.find((each) => each.name === name && each.online);
    if (node) return node;
    await pause(expiresAt, `${name} has joined, and its agent does not report`);
  }
}

async function pause(until: string, what: string): Promise<void> {
  if (Date.now() > Date.parse(until)) {
    throw new CliError("TIMED_OUT", {
      what,
      why: "the time of the line is over",
      fix: "loom node add",
    });
  }
  await setTimeout(LOOK_MS);
}

async function upgrade(cli: Cli, name: string | undefined, all: true | undefined): Promise<void> {
  if ((name === undefined) === (all === undefined)) {
    throw usage("upgrade takes a node or --all", "loom node upgrade --all");
  }
  const { client } = cli.hub();
  const ordered: UpgradeOrdered =
    name === undefined
      ? await client.upgradeNodes()
      : await onNode(cli, name, () => client.upgradeNode(name));
  if (cli.json) return cli.printJson({ upgrade: ordered });
  if (ordered.ordered.length > 0) {
    cli.note(`${ordered.ordered.join(", ")} take agent ${ordered.agent.version}, one by one`);
  }
  for (const { node, reason } of ordered.skipped) cli.note(`${node} stays: ${clean(reason)}`);
}
