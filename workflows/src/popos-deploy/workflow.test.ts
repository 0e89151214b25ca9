import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import {
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { type Sshd, startSshd, whySshdIsMissing } from "@loom/ssh/testing";
import {
  type AnyWorkflow,
  fateOf,
  type JsonValue,
  type Outcome,
  outcomeOf,
  parseInput,
} from "@loom/workflow";
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { readSshAccess } from "../ssh/access.ts";
import { deployCommands } from "./commands.ts";
import { definePoposDeploy } from "./workflow.ts";

const missing = whySshdIsMissing();
if (missing !== null && process.env.CI) throw new Error(missing);

/** Stands in for systemd: the unit's state is what the current release's file says. */
const systemctl = (root: string) => `#!/bin/sh
case "$2" in
  restart)
    cp "${root}/app/current/state" "${root}/state"
    [ "$(cat "${root}/state")" != refuses ] || { echo "Job for $3 failed." >&2; exit 1; } ;;
  is-active) cat "${root}/state"; [ "$(cat "${root}/state")" = active ] || exit 3 ;;
  *) exit 64 ;;
esac
`;

/** Stands in for npm, because it is faster. The whole-system test uses npm itself. */
const NPM = `#!/bin/sh
cd "\${1#--prefix=}" || exit
case "$2" in
  ci) ;;
  run) echo "building"; cp wanted state ;;
  *) exit 64 ;;
esac
`;

describe.skipIf(missing !== null)(
  `popos-deploy over OpenSSH (${missing ?? "installed"})`,
  { timeout: 60_000 },
  () => {
    let root: string;
    let sshd: Sshd;
    let origin: string;
    let commits: Record<"good" | "better" | "broken" | "refuses", string>;

    const git = (...args: string[]) =>
      execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], {
        cwd: origin,
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }).trim();
    const commit = async (state: string, text: string) => {
      await writeFile(path.join(origin, "wanted"), `${state}\n`);
      await writeFile(path.join(origin, "text"), text);
      git("add", "-A");
      git("commit", "-qm", text);
      return git("rev-parse", "HEAD");
    };

    beforeAll(async () => {
      root = await mkdtemp(path.join(tmpdir(), "loom-deploy-"));
      origin = path.join(root, "origin");
      await mkdir(origin);
      git("init", "-q", "-b", "main");
      const good = await commit("active", "good");
      git("tag", "v1");
      const broken = await commit("failed", "broken");
      const refuses = await commit("refuses", "refuses");
      commits = { good, broken, refuses, better: await commit("active", "better") };

      await mkdir(path.join(root, "bin"));
      for (const [name, script] of Object.entries({ systemctl: systemctl(root), npm: NPM })) {
        await writeFile(path.join(root, "bin", name), script, { mode: 0o755 });
      }
      sshd = await startSshd({ node: "pop-os", environment: environment() });
    });
    afterAll(async () => {
      await sshd?.stop();
      await rm(root, { recursive: true });
    });
    beforeEach(() => rm(app(), { recursive: true, force: true }));

    const app = () => path.join(root, "app");
    const environment = () => ({
      PATH: `${root}/bin:${path.dirname(process.execPath)}:${process.env.PATH}`,
    });
    const current = async () => path.basename(await readlink(path.join(app(), "current")));
    const releases = () => readdir(path.join(app(), "releases"));
    const currentText = () => readFile(path.join(app(), "current/text"), "utf8");

    const workflowOn = (server: Sshd): AnyWorkflow =>
      definePoposDeploy(() =>
        readSshAccess({
          LOOM_SSH_KEY: server.keyFile,
          LOOM_SSH_USER: server.user,
          LOOM_SSH_KNOWN_HOSTS: server.knownHosts,
          LOOM_SSH_PORT: String(server.port),
          LOOM_SSH_ADDRESSES: "pop-os=127.0.0.1",
        }),
      );

    /** Runs the steps as a worker would, some of them twice. */
    async function runSteps(
      input: Record<string, JsonValue>,
      { twice = [], server = sshd }: { twice?: string[]; server?: Sshd } = {},
    ) {
      const workflow = workflowOn(server);
      const results: Record<string, JsonValue> = {};
      const log: string[] = [];
      const write = (_facts: object | string, message = "") => void log.push(message);
      const context = {
        input: parseInput(workflow, {
          directory: app(),
          repository: origin,
          service: "popos.service",
          healthSeconds: 1,
          ...input,
        }),
        signal: new AbortController().signal,
        log: { debug: write, info: write, warn: write, error: write },
        progress() {},
        checkpoint: async () => {},
        checkpointed: undefined,
        exec: async () => ({ stdout: "", stderr: "", truncated: false }),
        files: {} as never,
        traceparent: null,
        attempt: 1,
        node: "oracle",
        run: { id: "r" },
        workflow: workflow.name,
      };
      const outcomes = new Map<string, Outcome>();
      const errors: Error[] = [];
      for (const step of workflow.steps) {
        const needs = step.after.map((name) => outcomes.get(name) ?? null);
        const fate = fateOf(needs, step.runsAfter);
        if (fate !== "runs" || step.when?.({ input: context.input, results }) === false) {
          const reason = fate === "runs" || fate === "blocked" ? "condition" : fate;
          outcomes.set(step.name, outcomeOf({ state: "skipped", reason }, step));
          continue;
        }
        const run = async () => step.run({ ...context, results, step: step.name });
        try {
          if (twice.includes(step.name)) await run();
          results[step.name] = JSON.parse(JSON.stringify((await run()) ?? null));
          outcomes.set(step.name, "passed");
        } catch (error) {
          errors.push(error as Error);
          outcomes.set(step.name, "failed");
        }
      }
      return { results, log, errors };
    }

    /** The same, where every step has to succeed. */
    async function deploy(...args: Parameters<typeof runSteps>) {
      const { errors, ...run } = await runSteps(...args);
      if (errors[0]) throw errors[0];
      return run;
    }

    test("deploys a tag, a branch and a commit, and keeps the releases apart", async () => {
      const { results, log } = await deploy({ revision: "v1" });
      expect(results.conclude).toMatchObject({
        node: "pop-os",
        commit: commits.good,
        previous: null,
      });
      expect(await currentText()).toBe("good");
      expect(log.join("\n")).toContain("building");

      const second = await deploy({ revision: "main" });
      expect(second.results.conclude).toMatchObject({ commit: commits.better });
      expect(second.results).not.toHaveProperty("rollback");
      expect(await currentText()).toBe("better");

      await deploy({ revision: commits.good });
      expect(await currentText()).toBe("good");
      expect(await releases()).toHaveLength(3);
    });

    test("can repeat every step", async () => {
      const twice = ["fetch", "install", "build", "restart", "verify", "conclude"];
      await deploy({ revision: "v1" }, { twice });
      expect(await releases()).toEqual([await current()]);
    });

    test("rolls back a release that is not healthy, even when the step runs twice", async () => {
      await deploy({ revision: "v1" });
      const before = await current();
      const { results, errors } = await runSteps(
        { revision: commits.broken },
        { twice: ["rollback"] },
      );
      expect(errors).toMatchObject([
        {
          code: "NON_RETRYABLE",
          message: expect.stringContaining(
            "is not healthy: isActive failed on pop-os with exit code 3",
          ),
        },
      ]);
      expect(results.rollback).toEqual({ to: before });
      expect(await current()).toBe(before);
      expect(await readFile(path.join(root, "state"), "utf8")).toBe("active\n");
    });

    test("rolls back a release that does not start", async () => {
      await deploy({ revision: "v1" });
      const before = await current();
      const { results, errors } = await runSteps({ revision: commits.refuses });
      expect(errors.map(({ message }) => message)).toEqual([
        expect.stringMatching(/did not start: .*Job for popos.service failed./s),
      ]);
      expect(results.rollback).toEqual({ to: before });
      expect(await current()).toBe(before);
    });

    test("rolls back over a login that prints text", async () => {
      const chatty = await startSshd({ node: "pop-os", environment: environment() });
      onTestFinished(chatty.stop);
      await writeFile(path.join(chatty.folder, ".bashrc"), "echo welcome; printf notice >&2\n");
      await deploy({ revision: "v1" }, { server: chatty });
      const before = await current();
      const { results } = await runSteps({ revision: commits.broken }, { server: chatty });
      expect(results.rollback).toEqual({ to: before });
      expect(await current()).toBe(before);
    });

    test.for([
      ["is a folder", (link: string) => mkdir(link, { recursive: true }), "Invalid argument"],
      ["points elsewhere", (link: string) => symlink("/etc", link), 'points to "/etc"'],
    ] as const)("deploys nothing where current %s", async ([, make, reason]) => {
      await mkdir(app(), { recursive: true });
      await make(path.join(app(), "current"));
      await expect(deploy({ revision: "v1" })).rejects.toThrow(reason);
      expect(await readdir(app())).toEqual(["current"]);
    });

    test("reports that there is nothing to roll back to", async () => {
      const { errors } = await runSteps({ revision: commits.broken });
      expect(errors.map(({ message }) => message)).toEqual([
        expect.stringContaining("is not healthy"),
        "no earlier release exists",
      ]);
    });

    test("does not replace a release that another deploy put there meanwhile", async () => {
      await mkdir(app());
      await symlink("releases/theirs", path.join(app(), "current"));
      const workflow = workflowOn(sshd);
      const restart = workflow.steps.find(({ name }) => name === "restart");
      const context = {
        input: parseInput(workflow, {
          directory: app(),
          repository: origin,
          service: "popos.service",
        }),
        results: {
          reach: { previous: "other", at: "" },
          fetch: { commit: commits.good, release: "mine" },
        },
        signal: new AbortController().signal,
        log: { debug() {}, info() {}, warn() {}, error() {} },
        progress() {},
        checkpoint: async () => {},
        checkpointed: undefined,
        exec: async () => ({ stdout: "", stderr: "", truncated: false }),
        files: {} as never,
        traceparent: null,
        attempt: 1,
        node: "oracle",
        run: { id: "r" },
        workflow: workflow.name,
        step: "restart",
      };
      await expect(restart?.run(context)).rejects.toThrow("which this deploy did not put there");
      expect(await current()).toBe("theirs");
    });

    test("asks the health address, on the node", async () => {
      const nobody = "http://127.0.0.1:1/health";
      await expect(deploy({ revision: "v1", healthUrl: nobody })).rejects.toThrow(
        "askHealth failed",
      );
    });

    test("changes nothing in a dry run, and logs what it would do", async () => {
      const { results, log } = await deploy({ revision: "main", dryRun: true });
      expect(existsSync(app())).toBe(false);
      expect(log).toEqual(expect.arrayContaining(["would run fetch", "would run restart"]));
      expect(results.verify).toBeNull();
      await expect(deploy({ revision: "no-such-branch", dryRun: true })).rejects.toMatchObject({
        code: "COMMAND_FAILED",
        command: "find",
      });
    });

    test("refuses a revision that the repository does not have, before it touches the service", async () => {
      const { errors } = await runSteps({ revision: "0".repeat(40) });
      expect(errors).toMatchObject([{ command: "resolve" }]);
      expect(await readdir(app())).toEqual(["repository"]);
    });

    test("runs through a gate that allows this service only", async () => {
      const gate = fileURLToPath(import.meta.resolve("@loom/ssh")).replace(
        "index.ts",
        "gate/main.ts",
      );
      const config = path.join(root, "gate.ts");
      const commandsFile = new URL("commands.ts", import.meta.url).href;
      const limits = { directory: app(), repository: origin, service: "popos.service" };
      await writeFile(
        config,
        `import { deployCommands } from ${JSON.stringify(commandsFile)};
export const commands = deployCommands(${JSON.stringify(limits)});`,
      );
      const program = `'${process.execPath}' --conditions=@loom/source '${gate}' --config '${config}'`;
      const guarded = await startSshd({
        node: "pop-os",
        keyOptions: `command="${program}",restrict`,
        environment: environment(),
      });
      onTestFinished(guarded.stop);
      await deploy({ revision: "v1" }, { server: guarded });
      expect(await currentText()).toBe("good");
      await expect(
        deploy({ revision: "v1", directory: "/etc" }, { server: guarded }),
      ).rejects.toThrow(`must be ${app()} on this node`);
    });
  },
);

describe("popos-deploy's input", () => {
  const workflow = definePoposDeploy(() => readSshAccess({}));
  const good = {
    directory: "/srv/popos",
    repository: "https://example.org/popos.git",
    service: "popos.service",
  };

  test("accepts the required fields, and fills in the defaults", () => {
    expect(parseInput(workflow, good)).toEqual({
      ...good,
      node: "pop-os",
      revision: "main",
      scope: "user",
      healthSeconds: 30,
      dryRun: false,
    });
    for (const repository of [
      "git@example.org:a/b.git",
      "ssh://git@example.org/b.git",
      "/srv/b.git",
    ]) {
      expect(parseInput(workflow, { ...good, repository })).toMatchObject({ repository });
    }
  });

  test.for([
    ...["-rf", "a b", "Pop", "pop-os;id", "../x", ""].map((node) => ({ node })),
    ...[
      "srv",
      "/",
      "/srv/../etc",
      "/srv/-rf",
      "/srv//x",
      "/srv/$(id)",
      "/srv/.ssh",
      "/srv/x\n",
      "~",
    ].map((directory) => ({ directory })),
    ...[
      "-x.service",
      "popos",
      "a b.service",
      "popos.service;id",
      "pороs.service",
      "--now.service",
    ].map((service) => ({ service })),
    ...[
      "-x",
      "--upload-pack=id",
      "a..b",
      "a b",
      "@{-1}",
      "HEAD^{/x}",
      "a.lock",
      "a/",
      "$(id)",
      "",
    ].map((revision) => ({ revision })),
    ...[
      "ext::sh -c id",
      "--upload-pack=id",
      "https://user:secret@example.org/x",
      "file:///etc",
      "-oProxyCommand=id@host:x",
      "http://example.org/x",
      "fd::17",
    ].map((repository) => ({ repository })),
    ...["file:///etc/passwd", "-K/etc", "http://a b", "http://a/$(id)", "http://a/{b,c}"].map(
      (healthUrl) => ({ healthUrl }),
    ),
  ] as Record<string, string>[])("refuses %j", (bad) => {
    expect(() => parseInput(workflow, { ...good, ...bad })).toThrow(
      expect.objectContaining({ code: "INVALID_INPUT" }),
    );
  });

  test("restricts the input as the operations do", () => {
    const commands = deployCommands({ service: "popos.service" });
    expect(() => commands.restart("sshd.service", "user")).toThrow("must be popos.service");
    expect(commands.restart("popos.service", "user").argv).toEqual([
      "systemctl",
      "--user",
      "restart",
      "popos.service",
    ]);
  });
});
