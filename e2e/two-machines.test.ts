import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { buildDashboard } from "@loom/dashboard/build";
import type { ChildProcessHandle } from "@loom/local-db";
import { NODE_FUNCTIONS } from "@loom/queue";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createNamespace, type Namespace, namespacesMissing } from "./support/namespaces.ts";
import {
  createPerson,
  type Person,
  pidOf,
  placeNode,
  placeNpm,
  placeOldNode,
} from "./support/people.ts";

// Two people, each with a machine that is a network namespace: ada has Loom and starts it with a folder of her own
// workflows; bob has nothing, not even a Node that is new enough. tailscaled and the registry are played on ada's.
const HUB = "100.64.0.1";
const API = `http://127.0.0.1:3000/api/loom`;
const READY = "loom  ready      the hub sees this machine";

const HELPER = (text: string) => `export const greeting = ${JSON.stringify(text)};\n`;
const WORKFLOWS = `
import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { defineWorkflow } from "@loom/workflow";
import { z } from "zod";
import { greeting } from "./lib/greeting.ts";

const isThere = async (file: string) => {
  while (file !== "" && !existsSync(file)) await sleep(25);
};

/** A step on each machine; each waits for a file first, where one is named. */
export const pair = defineWorkflow({
  name: "pair",
  input: z.object({ before: z.string().default(""), between: z.string().default("") }),
})
  .step("here", { requires: ["loom-hub"] }, async ({ input, node }) => {
    await isThere(input.before);
    return node;
  })
  .step("there", { after: ["here"], host: "tower" }, async ({ input, results, node }) => {
    await isThere(input.between);
    return \`\${greeting} from \${node} to \${results.here}\`;
  });

/** Forty steps, every second one on the other machine. */
export const many: unknown = Array.from({ length: 40 }).reduce<any>(
  (workflow, _, index) =>
    workflow.step(
      \`step-\${index}\`,
      { ...(index % 2 === 0 ? { host: "tower" } : { requires: ["loom-hub"] }), retry: { attempts: 9 } },
      () => sleep(50),
    ),
  defineWorkflow({ name: "many" }),
);
`;

const missing = await namespacesMissing();
if (missing && process.env.CI) throw new Error(`no network namespaces here: ${missing}`);
if (missing) console.warn(`the tests of two machines are skipped: ${missing}`);

type Body = Record<string, unknown>;
interface Run {
  status: string;
  steps: { id: number; step: string; host: string | null; state: string; result: unknown }[];
}

describe.skipIf(missing)("two people's machines", () => {
  const stack = new AsyncDisposableStack();
  const own = <T extends AsyncDisposable>(resource: T): T => stack.use(resource);
  let folder: string;
  let ada: Person;
  let bob: Person;
  let forge: Namespace;
  let tower: Namespace;
  /** What `npm start` has printed. */
  const printed: string[] = [];
  let token: string;

  const inFolder = (...names: string[]) => path.join(folder, ...names);
  const call = async (method: string, at: string, body?: object): Promise<Body> =>
    JSON.parse(
      await forge.run([
        ...(["curl", "-sS", "-X", method] as const),
        ...["-H", `authorization: Bearer ${token}`, "-H", "content-type: application/json"],
        ...(body === undefined ? [] : ["-d", JSON.stringify(body)]),
        `${API}${at}`,
      ]),
    ) as Body;
  const versionOf = async (workflow: string) =>
    ((await call("GET", "/strands")).data as Body[]).find(({ name }) => name === workflow)?.version;
  const begin = async (workflow: string, input: object = {}): Promise<string> =>
    String((await call("POST", `/strands/${workflow}/run`, { input })).runId);
  const read = async (run: string) => (await call("GET", `/runs/${run}`)) as unknown as Run;
  const step = async (run: string, name: string) =>
    (await read(run)).steps.find((each) => each.step === name);
  /** Waits for the end of a run, and says what its last step did. */
  async function resultOf(run: string): Promise<unknown> {
    await expect
      .poll(async () => (await read(run)).status, { timeout: 60_000, interval: 200 })
      .not.toBe("running");
    return (await step(run, "there"))?.result;
  }

  /** Pastes a line into a terminal of bob's, who has the programs of the system and nothing else. */
  async function paste(line: string) {
    const lines: string[] = [];
    const child: ChildProcessHandle = own(
      await tower.spawn([...bob.as, "sh", "-c", line], {
        env: {
          ...{ HOME: bob.home, PATH: `${inFolder("old")}:/usr/bin:/bin` },
          // Nobody wakes it: no tailscaled runs on its machine.
          POLL_INTERVAL_MS: "250",
          // How long a step may go on that has no key any more.
          LOOM_GRACE_MS: "1000",
        },
        onLine: (text) => lines.push(text),
      }),
    );
    await expect
      .poll(() => lines.some((text) => text.startsWith("loom  ready")) || child.log(), {
        timeout: 60_000,
      })
      .toBe(true);
    return { child, lines };
  }

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "loom-people-"));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    await chmod(folder, 0o755);
    ada = own(await createPerson(`loom-ada-${process.pid}`, inFolder("ada")));
    bob = own(await createPerson(`loom-bob-${process.pid}`, inFolder("bob")));
    await mkdir(inFolder("signs"));
    await placeNode(inFolder("new"));
    await placeNpm(inFolder("new"));
    await placeOldNode(inFolder("old"));
    // ada may not write to this clone.
    await buildDashboard();

    forge = own(await createNamespace({ ownRun: true }));
    tower = own(await createNamespace());
    await forge.ip(`link add tailscale0 type veth peer name tailscale0 netns ${tower.pid}`);
    for (const [machine, address] of [
      [forge, HUB],
      [tower, "100.64.0.2"],
    ] as const) {
      await machine.ip(`addr add ${address}/10 dev tailscale0`);
      await machine.ip("link set tailscale0 up");
    }
    own(
      await forge.start(new URL("tailnet/daemon.ts", import.meta.url), {
        self: { name: "forge", ip: HUB },
        peers: { "100.64.0.2": { name: "tower" } },
      }),
    );
    // As Tailscale leaves it.
    await forge.run(["chmod", "0666", "/run/tailscale/tailscaled.sock"]);

    const env = { HOME: ada.home, PATH: `${inFolder("new")}:/usr/bin:/bin` };
    const asAda = (file: string, ...args: string[]): [string, ...string[]] => [
      ...ada.as,
      inFolder("new/node"),
      "--conditions=@loom/source",
      file,
      ...args,
    ];
    const flows = path.join(ada.home, "flows");
    const made = own(
      await forge.spawn(
        asAda(fileURLToPath(import.meta.resolve("@loom/hub/main")), "init", flows),
        {
          env,
        },
      ),
    );
    expect(await made.exited).toMatchObject({ code: 0 });
    await mkdir(path.join(flows, "lib"));
    await writeFile(path.join(flows, "lib/greeting.ts"), HELPER("hello"));
    await writeFile(path.join(flows, "pair.ts"), WORKFLOWS);

    const quickstart = new URL("../apps/quickstart/src/main.ts", import.meta.url);
    const ready = Promise.withResolvers<void>();
    const start = own(
      await forge.spawn(asAda(fileURLToPath(quickstart)), {
        env: {
          ...env,
          LOOM_BIND: "tailnet",
          LOOM_DATA_DIR: path.join(ada.home, "loom"),
          LOOM_WORKFLOWS_DIR: flows,
        },
        onLine(line) {
          printed.push(line);
          if (line.startsWith("ready ")) ready.resolve();
        },
      }),
    );
    void start.exited.then(({ log }) => ready.reject(new Error(`npm start ended:\n${log}`)));
    await ready.promise;
    token = readFileSync(path.join(ada.home, "loom/token"), "utf8").trim();
  }, 180_000);
  afterAll(() => stack.disposeAsync());

  test("a line makes a machine without Node a node, which runs a step in less than a minute", async () => {
    const { line } = (await call("POST", "/join-tokens", { node: "tower" })) as { line: string };
    expect(line).toMatch(/^curl -fsS http:\/\/forge\.moss-lantern\.ts\.net:3000\/join \| /);
    await expect
      .poll(() => printed)
      .toContainEqual(
        expect.stringMatching(/^join {3}curl -fsS http:.*LOOM_JOIN_TOKEN=loomj_\S+ sh$/),
      );
    const pastedAt = performance.now();
    // bob's machine has no name server of the tailnet.
    const { lines } = await paste(line.replace("forge.moss-lantern.ts.net", HUB));
    expect(lines).toContain(READY);
    expect(lines).toContain("loom  node       fetching one from the hub");
    expect(await resultOf(await begin("pair"))).toBe("hello from tower to oracle");
    const tookMs = Math.round(performance.now() - pastedAt);
    console.log(`from pasting the line to a finished step: ${tookMs} ms`);
    expect(tookMs).toBeLessThan(60_000);
    // The code that ran there came from the hub.
    const state = path.join(bob.home, ".local/state/loom-agent");
    expect(readdirSync(path.join(state, "hub-code"))).toContain(`${await versionOf("pair")}.mjs`);
  });

  test("a saved helper is used there within seconds, and a run that had begun ends as it began", async () => {
    const before = inFolder("signs/go-on");
    const old = await begin("pair", { before });
    await expect.poll(async () => (await step(old, "here"))?.state).toBe("running");
    const version = await versionOf("pair");
    const savedAt = performance.now();
    await writeFile(path.join(ada.home, "flows/lib/greeting.ts"), HELPER("good evening"));
    await expect.poll(() => versionOf("pair"), { interval: 100 }).not.toBe(version);
    expect(await resultOf(await begin("pair"))).toBe("good evening from tower to oracle");
    const tookMs = Math.round(performance.now() - savedAt);
    console.log(`from saving a helper to a step that ran it there: ${tookMs} ms`);
    expect(tookMs).toBeLessThan(30_000);
    await writeFile(before, "");
    expect(await resultOf(old)).toBe("hello from tower to oracle");
  });

  test("a few hundred jobs succeed, whichever process is killed meanwhile", async () => {
    const runs = await Promise.all(Array.from({ length: 8 }, () => begin("many")));
    const left = async () =>
      (await Promise.all(runs.map(read))).flatMap(({ steps }) =>
        steps.filter(({ state }) => state !== "succeeded"),
      ).length;
    const all = await left();
    expect(all).toBeGreaterThan(200);
    const isUnderWay = (least: number) =>
      expect.poll(left, { timeout: 60_000, interval: 200 }).toBeLessThan(Math.min(all, least));

    await isUnderWay(320);
    process.kill(pidOf(bob, "main.mjs start"), "SIGKILL");
    await paste(`curl -fsS http://${HUB}:3000/join | sh`);
    for (const { name, part } of [
      { name: "hub", part: "apps/hub/src/main.ts" },
      { name: "Postgres", part: "/bin/postgres" },
    ]) {
      process.kill(pidOf(ada, part), "SIGKILL");
      await expect
        .poll(() => printed, { timeout: 60_000, interval: 200 })
        .toContain(`${name} is back`);
    }
    for (const run of runs) {
      await expect
        .poll(async () => (await read(run)).status, { timeout: 90_000, interval: 200 })
        .toBe("succeeded");
    }
  }, 180_000);

  test("revoking a key while a step runs gives the step back, and the key grants nothing", async () => {
    const between = inFolder("signs/never");
    const run = await begin("pair", { between });
    await expect.poll(() => step(run, "there")).toMatchObject({ state: "running", host: "tower" });
    const key = readFileSync(
      path.join(bob.home, ".local/state/loom-agent/node-key"),
      "utf8",
    ).trim();
    const ask = async (name: string, body: object): Promise<string> =>
      await tower.run([
        ...(["curl", "-sS", "-w", " %{http_code}", "-H", `x-loom-node-key: ${key}`] as const),
        ...["-H", "content-type: application/json", "-d", JSON.stringify(body)],
        `http://${HUB}:3000/rest/v1/rpc/${name}`,
      ]);
    expect(await ask("loom_describe_node", { p_node: "tower" })).toMatch(/ 200$/);

    const { data } = (await call("GET", "/nodes/tower/keys")) as { data: { id: string }[] };
    expect(data).toHaveLength(1);
    await call("DELETE", `/nodes/tower/keys/${data[0]?.id}`);
    expect(await step(run, "there")).toMatchObject({ state: "pending" });

    await using sql = connect(path.join(ada.home, "loom"));
    const functions = await sql<{ name: string; names: string[] }[]>`
      select proname as name, proargnames[:pronargs] as names from pg_proc
       where pronamespace = 'public'::regnamespace and proname = any (${[...NODE_FUNCTIONS]})`;
    expect(functions).toHaveLength(NODE_FUNCTIONS.length);
    for (const { name, names } of functions) {
      const body = Object.fromEntries((names ?? []).map((each) => [each, null]));
      const answer = await ask(name, { ...body, ...("p_node" in body && { p_node: "tower" }) });
      expect(answer, name).toMatch(/NODE_KEY_REFUSED.* 40[13]$/s);
    }
    // Its agent has seen it, and does nothing more.
    await expect.poll(() => isRunning(bob), { timeout: 60_000, interval: 200 }).toBe(false);
    expect(await step(run, "there")).toMatchObject({ state: "pending" });
    expect(existsSync(between)).toBe(false);
  });

  test("the database keeps every promise at the end", async () => {
    await using sql = connect(path.join(ada.home, "loom"));
    const [row] = await sql`select public.loom_verify() as problems`;
    expect(row?.problems).toEqual([]);
  });
});

const isRunning = (person: Person): boolean => {
  try {
    pidOf(person, "main.mjs start");
    return true;
  } catch {
    return false;
  }
};

/** A connection to the embedded database, past the hub. */
function connect(dataDir: string) {
  const lines = readFileSync(path.join(dataDir, "postgres/postmaster.pid"), "utf8").split("\n");
  const sql = postgres({
    host: lines[4] ?? "",
    database: "postgres",
    username: "postgres",
    max: 1,
  });
  return Object.assign(sql, { [Symbol.asyncDispose]: () => sql.end() });
}
