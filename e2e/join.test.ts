import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import type { ChildProcessHandle } from "@loom/local-db";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createNamespace, type Namespace, namespacesMissing } from "./support/namespaces.ts";

// Three machines, each a network namespace, with addresses of 100.64.0.0/10 between them: a hub with its own database,
// and two on which there is nothing of Loom. tailscaled is played on the hub's machine.
const HUB = "100.64.0.1";
const TOKEN = "a-token-for-this-test";
/** Users of the new machines, who may read nothing of this clone or of root's. */
const USER = 65_501;

const WORKFLOW = (greeting: string) => `
import { defineWorkflow } from "@loom/workflow";
export const across = defineWorkflow({ name: "across" })
  .step("here", { requires: ["loom-hub"] }, async ({ node }) => ({ node }))
  .step("there", { after: ["here"], host: "tower" }, async ({ node }) => ({ node, said: "${greeting}" }));
`;

const missing = await namespacesMissing();
if (missing && process.env.CI) throw new Error(`no network namespaces here: ${missing}`);
if (missing) console.warn(`the tests of joining are skipped: ${missing}`);

type Body = Record<string, unknown>;

describe.skipIf(missing)("a machine with nothing on it", () => {
  const stack = new AsyncDisposableStack();
  const own = <T extends AsyncDisposable>(resource: T): T => stack.use(resource);
  let folder: string;
  let hub: Namespace;
  let machines: Record<"tower" | "anvil", Namespace>;

  const call = async (method: string, at: string, body?: object): Promise<Body> =>
    JSON.parse(
      await hub.run([
        ...(["curl", "-sS", "-X", method] as const),
        ...["-H", `authorization: Bearer ${TOKEN}`, "-H", "content-type: application/json"],
        ...(body === undefined ? [] : ["-d", JSON.stringify(body)]),
        `http://127.0.0.1:3000/api/loom${at}`,
      ]),
    ) as Body;

  /** Pastes a line into a terminal of a user who has nothing. */
  const paste = async (machine: "tower" | "anvil", line: string, env: NodeJS.ProcessEnv = {}) => {
    const home = path.join(folder, machine);
    mkdirSync(home, { recursive: true });
    chownSync(home, USER, USER);
    const lines: string[] = [];
    const user = [`--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"];
    const child: ChildProcessHandle = own(
      await machines[machine].spawn(["setpriv", ...user, "sh", "-c", line], {
        env: {
          HOME: home,
          PATH: `${path.join(folder, "bin")}:/usr/bin:/bin`,
          POLL_INTERVAL_MS: "200",
          // No systemd runs in a namespace.
          LOOM_SERVICE: "none",
          ...env,
        },
        onLine: (text) => lines.push(text),
      }),
    );
    return { child, lines, home };
  };

  /** What the agent's program says on a machine, with its exit code. */
  const agentOf = async (
    machine: "tower" | "anvil",
    args: string,
    env: NodeJS.ProcessEnv = {},
  ): Promise<string> => {
    const program = '"$HOME/.local/share/loom/bin/loom-agent"';
    const { child } = await paste(
      machine,
      `${program} ${args} </dev/null 2>&1; echo "exit $?"`,
      env,
    );
    return (await child.exited).log;
  };

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), "loom-join-"));
    stack.defer(() => rmSync(folder, { recursive: true, force: true }));
    mkdirSync(path.join(folder, "bin"));
    const node = path.join(folder, "bin/node");
    try {
      linkSync(process.execPath, node);
    } catch {
      copyFileSync(process.execPath, node);
    }
    mkdirSync(path.join(folder, "workflows"));
    writeFileSync(path.join(folder, "workflows/across.ts"), WORKFLOW("hello"));
    // The new machines' users may pass through, and read the program.
    chmodSync(folder, 0o755);

    hub = own(await createNamespace({ ownRun: true }));
    machines = { tower: own(await createNamespace()), anvil: own(await createNamespace()) };
    await hub.ip("link add bridge0 type bridge");
    await hub.ip(`addr add ${HUB}/10 dev bridge0`);
    await hub.ip("link set bridge0 up");
    for (const [index, machine] of Object.values(machines).entries()) {
      await hub.ip(`link add veth${index} type veth peer name tailscale0 netns ${machine.pid}`);
      await hub.ip(`link set veth${index} master bridge0`);
      await hub.ip(`link set veth${index} up`);
      await machine.ip(`addr add 100.64.0.${index + 2}/10 dev tailscale0`);
      await machine.ip("link set tailscale0 up");
    }
    own(
      await hub.start(new URL("tailnet/daemon.ts", import.meta.url), {
        self: { name: "forge", ip: HUB },
        peers: {
          "100.64.0.2": { name: "tower" },
          "100.64.0.3": { name: "anvil", tags: ["tag:loom-agent"] },
        },
      }),
    );
    const onTailnet = Promise.withResolvers<void>();
    const program = own(
      await hub.spawn(
        [
          process.execPath,
          "--conditions=@loom/source",
          fileURLToPath(import.meta.resolve("@loom/hub/main")),
        ],
        {
          env: {
            PATH: process.env.PATH,
            PORT: "3000",
            LOOM_BIND: "tailnet",
            LOOM_TOKEN: TOKEN,
            LOOM_TAILNET_JOIN: "tag:loom-agent",
            LOOM_DATA_DIR: path.join(folder, "data"),
            LOOM_STATE_DIR: path.join(folder, "state"),
            LOOM_WORKFLOWS_DIR: path.join(folder, "workflows"),
          },
          onLine(line) {
            if (line.includes('"listening on the tailnet"')) onTailnet.resolve();
          },
        },
      ),
    );
    void program.exited.then(({ log }) => onTailnet.reject(new Error(`the hub ended:\n${log}`)));
    await onTailnet.promise;
  });
  afterAll(() => stack.disposeAsync());

  test("joins with one line, and runs a step of the hub's workflow in less than a minute", async () => {
    const { line } = (await call("POST", "/join-tokens", { node: "tower" })) as { line: string };
    expect(line).toMatch(/^curl -fsS http:\/\/forge\.moss-lantern\.ts\.net:3000\/join \| /);
    const startedAt = performance.now();
    // The machine has no name server of the tailnet.
    const { lines, home } = await paste("tower", line.replace("forge.moss-lantern.ts.net", HUB));
    await expect
      .poll(() => lines, { timeout: 60_000 })
      .toContain(`loom  ready      the hub sees this machine`);
    const joinedMs = performance.now() - startedAt;
    expect(lines.filter((text) => !text.startsWith("{"))).toEqual([
      `loom  hub        http://${HUB}:3000`,
      expect.stringMatching(/^loom {2}node {7}/),
      `loom  agent      ${home}/.local/share/loom/bin/loom-agent`,
      `joined  http://${HUB}:3000 as tower`,
      expect.stringMatching(/^loom {2}service {4}none here/),
      "loom  ready      the hub sees this machine",
    ]);
    const { runId } = await call("POST", "/strands/across/run", {});
    await expect
      .poll(() => call("GET", `/runs/${runId}`), { timeout: 60_000 })
      .toMatchObject({
        status: "succeeded",
        steps: [{ step: "here" }, { step: "there", host: "tower", result: { said: "hello" } }],
      });
    const tookMs = performance.now() - startedAt;
    console.log(
      `joined after ${Math.round(joinedMs)} ms, first run done after ${Math.round(tookMs)} ms`,
    );
    expect(tookMs).toBeLessThan(60_000);
  });

  test("runs the new version once the file on the hub's machine is saved", async () => {
    writeFileSync(path.join(folder, "workflows/across.ts"), WORKFLOW("goodbye"));
    const said = async () => {
      const { runId } = await call("POST", "/strands/across/run", {});
      let run = await call("GET", `/runs/${runId}`);
      while (run.status === "running") run = await call("GET", `/runs/${runId}`);
      return (run.steps as { result: { said?: string } | null }[])[1]?.result?.said;
    };
    await expect.poll(said).toBe("goodbye");
  });

  test("may paste the line again, and nothing changes", async () => {
    const { child, lines } = await paste("tower", `curl -fsS http://${HUB}:3000/join | sh`);
    expect((await child.exited).code).toBe(0);
    expect(lines.slice(-2)).toEqual([
      `joined already  http://${HUB}:3000 as tower`,
      "loom  ready      an agent runs here already",
    ]);
    expect((await call("GET", "/nodes")).data).toHaveLength(2);
  });

  test("joins without a token where Tailscale knows it and a rule allows it", async () => {
    const { lines, child } = await paste("anvil", `curl -fsS http://${HUB}:3000/join | sh`);
    await expect
      .poll(() => lines, { timeout: 60_000 })
      .toContain("loom  ready      the hub sees this machine");
    expect(lines).toContain(`joined  http://${HUB}:3000 as anvil`);
    await child.stop();
  });

  test("is refused without a token where no rule allows it", async () => {
    const log = await agentOf("tower", `join http://${HUB}:3000`, {
      LOOM_STATE_DIR: path.join(folder, "tower/other"),
    });
    expect(log).toMatch(
      /LOOM_TAILNET_JOIN of this hub has no rule .*\[JOIN_TOKEN_REQUIRED\]\nexit 4$/,
    );
  });

  test("leaves, and no trace of the key remains on both sides", async () => {
    const log = await agentOf("tower", "leave");
    expect(log).toContain("key        deleted");
    expect(log).toContain("exit 0");
    expect(await agentOf("tower", "leave")).toContain("exit 5");
    await expect
      .poll(async () =>
        ((await call("GET", "/nodes")).data as Body[]).find(({ name }) => name === "tower"),
      )
      .toMatchObject({ online: false });
  });
});
