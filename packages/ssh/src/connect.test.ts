import { spawnSync } from "node:child_process";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import { type ConnectOptions, connect } from "./connect.ts";
import { defineCommands } from "./define-commands.ts";
import type { Output } from "./run-command.ts";
import { isAlive } from "./testing/is-alive.ts";
import { makeKeyPair } from "./testing/key-pair.ts";
import { type Sshd, startSshd, whySshdIsMissing } from "./testing/sshd.ts";

/** A test's own operations: those of a deploy take no free text. */
const commands = defineCommands({
  print: { args: z.tuple([z.string()]), argv: (text) => ["printf", "%s", text] },
  script: { args: z.tuple([z.string()]), argv: (text) => ["sh", "-c", text] },
  repeat: {
    args: z.tuple([z.number()]),
    argv: (bytes) => ["head", "-c", String(bytes), "/dev/zero"],
  },
  missing: { args: z.tuple([]), argv: () => ["no-such-program"] },
  builtin: { args: z.tuple([]), argv: () => ["stop"] },
});

const missing = whySshdIsMissing();
if (missing !== null && process.env.CI) throw new Error(missing);

describe.skipIf(missing !== null)(`connect to OpenSSH (${missing ?? "installed"})`, () => {
  let sshd: Sshd;
  beforeAll(async () => {
    sshd = await startSshd({ node: "pop-os" });
  });
  afterAll(() => sshd?.stop());

  const options = (changes: Partial<ConnectOptions> = {}): ConnectOptions => ({
    node: "pop-os",
    address: "127.0.0.1",
    port: sshd.port,
    user: sshd.user,
    keyFile: sshd.keyFile,
    hostKeys: { knownHosts: sshd.knownHosts },
    ...changes,
  });
  const open = async (changes: Partial<ConnectOptions> = {}) => {
    const connection = await connect(options(changes));
    onTestFinished(() => connection.close());
    return connection;
  };

  /** A known_hosts file of its own. */
  const knownHosts = async (name: string, text: string) => {
    const file = `${sshd.folder}/${name}`;
    await writeFile(file, text);
    return { hostKeys: { knownHosts: file } };
  };
  const hostLine = () => readFile(sshd.knownHosts, "utf8");

  test("runs a command, and gives back what it wrote", async () => {
    const connection = await open();
    const output: Output[] = [];
    const result = await connection.run(commands.script("echo out; echo err >&2"), {
      onOutput: (piece) => output.push(piece),
    });
    expect(result).toEqual({ stdout: "out\n", stderr: "err\n", truncated: false });
    expect(output).toEqual(
      expect.arrayContaining([
        { stream: "stdout", text: "out\n" },
        { stream: "stderr", text: "err\n" },
      ]),
    );
  });

  test.for([
    "'; touch /tmp/loom-escaped; '",
    "$(touch /tmp/loom-escaped)",
    "`touch /tmp/loom-escaped`",
    '* ? ~ {a,b} ! # \\ "',
    "A=b",
    "；−é😀",
  ])("carries %j as it is", async (text) => {
    const connection = await open();
    expect(await connection.run(commands.print(text))).toMatchObject({ stdout: text });
  });

  test("runs several at a time", async () => {
    const connection = await open();
    const runs = ["a", "b", "c"].map((text) => connection.run(commands.print(text)));
    expect((await Promise.all(runs)).map(({ stdout }) => stdout)).toEqual(["a", "b", "c"]);
  });

  test("tells exit code and the end of stderr", async () => {
    const connection = await open();
    await expect(connection.run(commands.script("echo broken >&2; exit 3"))).rejects.toMatchObject({
      code: "COMMAND_FAILED",
      node: "pop-os",
      command: "script",
      exitCode: 3,
      signal: null,
      stderrTail: "broken\n",
    });
    await expect(connection.run(commands.missing())).rejects.toThrow("no such program");
  });

  test("never runs a builtin or a function of the wrapper", async () => {
    const connection = await open();
    await expect(connection.run(commands.builtin())).rejects.toMatchObject({ exitCode: 127 });
  });

  test("finds a hashed name", async () => {
    const hosts = await knownHosts("hashed", await hostLine());
    spawnSync("ssh-keygen", ["-H", "-f", hosts.hostKeys.knownHosts]);
    expect(await readFile(hosts.hostKeys.knownHosts, "utf8")).toMatch(/^\|1\|/);
    await open(hosts);
  });

  test("asks for the kind of key that is on record", async () => {
    // Of the two kinds, ssh-ed25519 is preferred: only the record makes it be the other one.
    const other = makeKeyPair("ecdsa");
    await writeFile(`${sshd.folder}/ecdsa`, other.private, { mode: 0o600 });
    const both = await startSshd({ settings: [`HostKey ${sshd.folder}/ecdsa`] });
    onTestFinished(both.stop);
    const ecdsaOnly = await knownHosts("ecdsa_hosts", `pop-os ${other.public}\n`);
    await open({ ...ecdsaOnly, port: both.port, keyFile: both.keyFile });
  });

  test("accepts a pinned fingerprint", async () => {
    await open({ hostKeys: { fingerprints: ["SHA256:other", sshd.fingerprint] } });
  });

  test("refuses a host key that nobody put on record, and says what to do", async () => {
    const nothing = { hostKeys: { knownHosts: `${sshd.folder}/none` } };
    await expect(connect(options(nothing))).rejects.toMatchObject({
      code: "HOST_KEY_UNKNOWN",
      fingerprint: sshd.fingerprint,
      message: expect.stringContaining(
        `add this line to ${sshd.folder}/none: ${(await hostLine()).trim()}`,
      ),
    });
    const otherNode = { node: "forge" };
    await expect(connect(options(otherNode))).rejects.toMatchObject({ code: "HOST_KEY_UNKNOWN" });
    await expect(connect(options({ hostKeys: { fingerprints: [] } }))).rejects.toMatchObject({
      code: "HOST_KEY_UNKNOWN",
    });
  });

  test("refuses a host key that has changed, and says what to do", async () => {
    const changed = {
      code: "HOST_KEY_CHANGED",
      node: "pop-os",
      fingerprint: sshd.fingerprint,
      message: expect.stringMatching(/has changed.*only if they agree/),
    };
    const other = makeKeyPair().public;
    const hosts = await knownHosts("changed", `pop-os ${other}\n`);
    await expect(connect(options(hosts))).rejects.toMatchObject(changed);
    const pins = { hostKeys: { fingerprints: ["SHA256:other"] } };
    await expect(connect(options(pins))).rejects.toMatchObject(changed);
  });

  test("takes a server without a key of the known kind for a changed one", async () => {
    const other = makeKeyPair("ecdsa").public;
    const hosts = await knownHosts("other_kind", `pop-os ${other}\n`);
    await expect(connect(options(hosts))).rejects.toMatchObject({
      code: "HOST_KEY_CHANGED",
      fingerprint: null,
    });
  });

  test("refuses a revoked host key", async () => {
    const hosts = await knownHosts("revoked", await hostLine());
    await appendFile(hosts.hostKeys.knownHosts, (await hostLine()).replace("pop-os", "@revoked *"));
    await expect(connect(options(hosts))).rejects.toMatchObject({ code: "HOST_KEY_REVOKED" });
  });

  test("says what to do about a key or user that the node does not accept", async () => {
    const stranger = makeKeyPair();
    const keyFile = `${sshd.folder}/stranger`;
    await writeFile(keyFile, stranger.private, { mode: 0o600 });
    await expect(connect(options({ keyFile }))).rejects.toMatchObject({
      code: "SSH_AUTH",
      message: expect.stringContaining(`restrict ${stranger.public}`),
    });
    await expect(connect(options({ user: "nobody-here" }))).rejects.toMatchObject({
      code: "SSH_AUTH",
    });
  });

  test("asks no agent", async () => {
    const agent = process.env.SSH_AUTH_SOCK;
    process.env.SSH_AUTH_SOCK = `${sshd.folder}/no-agent`;
    onTestFinished(() => {
      if (agent === undefined) delete process.env.SSH_AUTH_SOCK;
      else process.env.SSH_AUTH_SOCK = agent;
    });
    const connection = await open();
    const { stdout } = await connection.run(commands.script("printenv SSH_AUTH_SOCK || echo none"));
    expect(stdout).toBe("none\n");
  });

  test("keeps the beginning of huge output, and passes all of it on", {
    timeout: 20_000,
  }, async () => {
    const connection = await open();
    let passed = 0;
    const bytes = 20 * 1_048_576;
    const result = await connection.run(commands.repeat(bytes), {
      maxOutputBytes: 1_000,
      onOutput: ({ text }) => {
        passed += text.length;
      },
    });
    expect(result.stdout).toHaveLength(1_000);
    expect(result.truncated).toBe(true);
    expect(passed).toBe(bytes);
  });

  test("ends the command when the listener to its output throws", async () => {
    const connection = await open();
    const run = connection.run(commands.script("echo hello; sleep 60"), {
      onOutput: () => {
        throw new Error("enough");
      },
    });
    await expect(run).rejects.toThrow("enough");
  });

  /** Starts a command with a child, and gives both their process ids. */
  const start = async (script: string, run: { timeoutMs?: number; signal?: AbortSignal } = {}) => {
    const connection = await open();
    const pids = Promise.withResolvers<number[]>();
    const done = connection.run(commands.script(script), {
      ...run,
      onOutput: ({ text }) => pids.resolve(text.trim().split(" ").map(Number)),
    });
    return { connection, pids: await pids.promise, done };
  };
  const FAMILY = 'sleep 60 & echo "$$ $!"; wait';
  const STUBBORN = `trap "" TERM; ${FAMILY}`;
  const alive = (pids: number[]) => pids.filter(isAlive);
  /** All of a group are signalled before anybody hears of it, and die a moment later. */
  const expectDead = (pids: number[]) =>
    expect.poll(() => alive(pids), { timeout: 5_000, interval: 10 }).toEqual([]);

  test("ends the whole process group at the timeout", async () => {
    const { pids, done } = await start(FAMILY, { timeoutMs: 300 });
    expect(pids).toHaveLength(2);
    await expect(done).rejects.toMatchObject({
      code: "COMMAND_TIMEOUT",
      timeoutMs: 300,
      stopped: true,
    });
    await expectDead(pids);
  });

  test("ends the whole process group when it is aborted, even one that ignores SIGTERM", async () => {
    const controller = new AbortController();
    const { pids, done } = await start(STUBBORN, { signal: controller.signal });
    expect(alive(pids)).toEqual(pids);
    controller.abort(new Error("cancelled by a person"));
    await expect(done).rejects.toThrow("cancelled by a person");
    await expectDead(pids);
  });

  test("ends the whole process group when the connection is gone", async () => {
    const { connection, pids, done } = await start(FAMILY);
    const lost = expect(done).rejects.toMatchObject({ code: "COMMAND_LOST", command: "script" });
    await connection.close();
    await lost;
    await expectDead(pids);
  });

  test("ends what a command leaves in the background", async () => {
    const { pids, done } = await start('sleep 60 >/dev/null 2>&1 & echo "$$ $!"');
    await done;
    await expectDead(pids);
  });

  test("starts nothing once it is aborted", async () => {
    const connection = await open();
    const signal = AbortSignal.abort(new Error("too late"));
    await expect(connection.run(commands.print("x"), { signal })).rejects.toThrow("too late");
    await expect(connect(options({ signal }))).rejects.toThrow("too late");
  });

  test("says so when the connection was closed before", async () => {
    const connection = await open();
    await connection.close();
    await expect(connection.run(commands.print("x"))).rejects.toMatchObject({
      code: "COMMAND_LOST",
    });
    await connection.close();
  });

  test("says so when the node starts no further command", async () => {
    const strict = await startSshd({ node: "pop-os", settings: ["MaxSessions 0"] });
    onTestFinished(strict.stop);
    const connection = await open({
      port: strict.port,
      keyFile: strict.keyFile,
      hostKeys: { knownHosts: strict.knownHosts },
    });
    await expect(connection.run(commands.print("x"))).rejects.toMatchObject({
      code: "COMMAND_REFUSED",
    });
  });
});
