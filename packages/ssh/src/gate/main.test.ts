import { spawnSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { beginLine, printLine } from "../command-line.ts";
import { connect } from "../connect.ts";
import { type Command, defineCommands } from "../define-commands.ts";
import { isAlive } from "../testing/is-alive.ts";
import { startSshd, whySshdIsMissing } from "../testing/sshd.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const DEFINE = new URL("../define-commands.ts", import.meta.url).href;

const NONCE = "0123456789abcdef".repeat(2);
const printed = (command: Command) => printLine(command, { limitSeconds: 10, nonce: NONCE });

/** The operations that the hub wants to run. The node below allows less. */
const hub = defineCommands({
  restart: { args: z.tuple([z.string()]), argv: (service) => ["echo", "hub:", service] },
  environment: { args: z.tuple([]), argv: () => ["echo", "hub"] },
  serve: { args: z.tuple([]), argv: () => ["echo", "hub"] },
  die: { args: z.tuple([]), argv: () => ["echo", "hub"] },
  remove: { args: z.tuple([z.string()]), argv: (file) => ["rm", "-rf", file] },
  constructor: { args: z.tuple([]), argv: () => ["id"] },
});

/** The same operations as the node's admin allows them: for one service only. */
const CONFIG = `
import { z } from ${JSON.stringify(import.meta.resolve("zod"))};
import { defineCommands } from ${JSON.stringify(DEFINE)};
export const commands = defineCommands({
  restart: { args: z.tuple([z.literal("popos.service")]), argv: (service) => ["echo", "node:", service] },
  environment: { args: z.tuple([]), argv: () => ["env"] },
  serve: { args: z.tuple([]), argv: () => ["sh", "-c", 'trap "" TERM; sleep 60 & echo "$$ $!"; wait'] },
  die: { args: z.tuple([]), argv: () => ["sh", "-c", "kill -SEGV $$"] },
});
`;

let folder: string;
let config: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "loom-gate-"));
  config = path.join(folder, "gate.mjs");
  await writeFile(config, CONFIG);
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs the gate as sshd does, with a line in its environment. */
function gate(
  line: string | undefined,
  { file = config, args }: { file?: string; args?: string[] } = {},
) {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [MAIN, ...(args ?? ["--config", file])],
    {
      encoding: "utf8",
      input: "",
      env: {
        PATH: process.env.PATH,
        LD_LIBRARY_PATH: "/nowhere",
        GIT_SSH_COMMAND: "id",
        ...(line !== undefined && { SSH_ORIGINAL_COMMAND: line }),
      },
    },
  );
  return { status, stdout, stderr };
}
const refused = (reason: string, stdout = beginLine(NONCE)) => ({
  status: 77,
  stdout,
  stderr: expect.stringContaining(`loom-ssh-gate refuses: ${reason}`),
});

describe("loom-ssh-gate", { timeout: 20_000 }, () => {
  test("refuses everything that is not an operation", () => {
    expect(gate(undefined)).toMatchObject(
      refused("this key runs named operations, not a shell", ""),
    );
    const notOurs = refused("the line is not one that @loom/ssh sends", "");
    expect(gate("id")).toMatchObject(notOurs);
    expect(gate("internal-sftp")).toMatchObject(notOurs);
    expect(gate(`${printed(hub.serve())}; id`)).toMatchObject(notOurs);
  });

  test("refuses operations that the node does not have", () => {
    expect(gate(printed(hub.remove("/")))).toMatchObject(
      refused('unknown operation "remove"; known operations: restart, environment, serve, die'),
    );
    expect(gate(printed(hub.constructor()))).toMatchObject(refused("unknown operation"));
  });

  test("refuses arguments that the node does not allow", () => {
    expect(gate(printed(hub.restart("sshd.service")))).toMatchObject(
      refused("restart does not take these arguments"),
    );
  });

  test("refuses a configuration that others can change", async () => {
    const open = path.join(folder, "open.mjs");
    await writeFile(open, CONFIG);
    await chmod(open, 0o666);
    expect(gate(printed(hub.serve()), { file: open })).toMatchObject(
      refused(`${open} can be changed by others`),
    );
    const shared = path.join(folder, "shared");
    await mkdir(shared);
    await chmod(shared, 0o777);
    const inside = path.join(shared, "gate.mjs");
    await writeFile(inside, CONFIG);
    expect(gate(printed(hub.serve()), { file: inside })).toMatchObject(
      refused(`${shared} can be changed`),
    );
    expect(gate(printed(hub.serve()), { file: path.join(folder, "none.mjs") })).toMatchObject(
      refused("ENOENT"),
    );
  });

  test("prints its usage", () => {
    expect(gate("id", { args: ["--help"] })).toMatchObject({
      status: 0,
      stdout: expect.stringContaining("authorized_keys"),
    });
    expect(gate("id", { args: ["--confg", "x"] })).toMatchObject({ status: 64, stdout: "" });
  });
});

const missing = whySshdIsMissing();
if (missing !== null && process.env.CI) throw new Error(missing);

describe.skipIf(missing !== null)(
  `loom-ssh-gate under OpenSSH (${missing ?? "installed"})`,
  { timeout: 20_000 },
  () => {
    const open = async (bashrc = "") => {
      const sshd = await startSshd({
        node: "pop-os",
        environment: { GIT_SSH_COMMAND: "id", BASH_ENV: "/nowhere" },
        keyOptions: `command="'${process.execPath}' '${MAIN}' --config '${config}'",restrict`,
      });
      onTestFinished(sshd.stop);
      await writeFile(`${sshd.folder}/.bashrc`, bashrc);
      const connection = await connect({
        ...sshd,
        address: "127.0.0.1",
        hostKeys: { knownHosts: sshd.knownHosts },
      });
      onTestFinished(() => connection.close());
      return connection;
    };

    test("runs the node's own version of an operation", async () => {
      const connection = await open();
      expect(await connection.run(hub.restart("popos.service"))).toMatchObject({
        stdout: "node: popos.service\n",
      });
      await expect(connection.run(hub.remove("/"))).rejects.toMatchObject({
        code: "COMMAND_FAILED",
        exitCode: 77,
        stderrTail: expect.stringContaining("loom-ssh-gate refuses"),
      });
    });

    test("does not count text that the login prints as output", async () => {
      const connection = await open("echo welcome; printf notice >&2");
      expect(await connection.run(hub.restart("popos.service"))).toEqual({
        stdout: "node: popos.service\n",
        stderr: "",
        truncated: false,
      });
    });

    test("reports the signal that ended the command", async () => {
      const connection = await open();
      await expect(connection.run(hub.die())).rejects.toMatchObject({
        exitCode: null,
        signal: "SIGSEGV",
      });
    });

    test("passes on no variable of the client's environment", async () => {
      const connection = await open();
      const { stdout } = await connection.run(hub.environment());
      expect(stdout).toMatch(/^HOME=/m);
      expect(stdout).not.toMatch(/BASH_ENV|GIT_SSH_COMMAND|SSH_/);
    });

    test("ends the process group at timeout, even one that ignores SIGTERM", async () => {
      const connection = await open();
      const pids = Promise.withResolvers<number[]>();
      const run = connection.run(hub.serve(), {
        timeoutMs: 2_000,
        onOutput: ({ text }) => pids.resolve(text.trim().split(" ").map(Number)),
      });
      const ended = expect(run).rejects.toMatchObject({ code: "COMMAND_TIMEOUT", stopped: true });
      const family = await pids.promise;
      expect(family.filter(isAlive)).toEqual(family);
      await ended;
      await expect.poll(() => family.filter(isAlive), { timeout: 1_000 }).toEqual([]);
    });

    test("ends the process group when the connection is lost", async () => {
      const connection = await open();
      const pids = Promise.withResolvers<number[]>();
      const run = connection.run(hub.serve(), {
        onOutput: ({ text }) => pids.resolve(text.trim().split(" ").map(Number)),
      });
      const lost = expect(run).rejects.toMatchObject({ code: "COMMAND_LOST" });
      const family = await pids.promise;
      await connection.close();
      await lost;
      await expect.poll(() => family.filter(isAlive), { timeout: 8_000 }).toEqual([]);
    });
  },
);
