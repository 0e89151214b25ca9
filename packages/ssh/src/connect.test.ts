import { spawnSync } from "node:child_process";
import { appendFile, readFile, writeFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { z } from "zod";
import type { Output } from "./capture.ts";
import { type ConnectOptions, connect } from "./connect.ts";
import { defineCommands } from "./define-commands.ts";
import { makeKeyPair } from "./testing/credentials.ts";
import { isAlive } from "./testing/is-alive.ts";
import { type Sshd, startSshd, whySshdIsMissing } from "./testing/sshd.ts";

/** Operations for these tests, because those of a deploy take no free text. */
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

  /** Writes a known_hosts file. */
  const knownHosts = async (name: string, text: string) => {
    const file = `${sshd.folder}/${name}`;
    await writeFile(file, text);
    return { hostKeys: { knownHosts: file } };
  };
  const hostLine = () => readFile(sshd.knownHosts, "utf8");

  test("runs a command, and returns its output", async () => {
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

  describe("with a login that prints", () => {
    /**
     * Opens a connection to an account whose shell reads this file when it starts, as bash does
     * under sshd.
     */
    const login = async (bashrc: string) => {
      const chatty = await startSshd({ node: "pop-os" });
      onTestFinished(chatty.stop);
      await writeFile(`${chatty.folder}/.bashrc`, bashrc);
      return open({
        port: chatty.port,
        keyFile: chatty.keyFile,
        hostKeys: { knownHosts: chatty.knownHosts },
      });
    };

    test.for([
      ["a greeting", "echo welcome; echo notice >&2"],
      ["one without a line break", "printf welcome; printf notice >&2"],
      ["a trace of its commands", "set -x; echo welcome"],
      ["more than is kept", "head -c 3000000 /dev/zero | tr '\\0' x"],
      ["something that looks like an answer", "echo 'loom-ssh 0'; echo releases/wrong"],
    ] as const)("does not count %s as output", async ([, bashrc]) => {
      const connection = await login(bashrc);
      const output: Output[] = [];
      const result = await connection.run(commands.script("echo out; echo err >&2"), {
        onOutput: (piece) => output.push(piece),
      });
      expect(result).toEqual({ stdout: "out\n", stderr: "err\n", truncated: false });
      expect(output.map(({ text }) => text).toSorted()).toEqual(["err\n", "out\n"]);
    });

    test.for([0, 1, 77])("does not count its exit code %i as an answer", async (code) => {
      const connection = await login(`echo releases/wrong; echo maintenance >&2; exit ${code}`);
      await expect(connection.run(commands.print("x"))).rejects.toMatchObject({
        code: "COMMAND_REFUSED",
        stderrTail: "maintenance\n",
        message: expect.stringContaining(`the login ended with exit code ${code} before it began`),
      });
    });
  });

  test("does not count a forced command that is not a gate as an answer", async () => {
    const forced = await startSshd({
      node: "pop-os",
      keyOptions: 'command="echo releases/wrong",restrict',
    });
    onTestFinished(forced.stop);
    const connection = await open({
      port: forced.port,
      keyFile: forced.keyFile,
      hostKeys: { knownHosts: forced.knownHosts },
    });
    await expect(connection.run(commands.print("x"))).rejects.toMatchObject({
      code: "COMMAND_REFUSED",
    });
  });

  test("runs several at a time", async () => {
    const connection = await open();
    const runs = ["a", "b", "c"].map((text) => connection.run(commands.print(text)));
    expect((await Promise.all(runs)).map(({ stdout }) => stdout)).toEqual(["a", "b", "c"]);
  });

  test("reports the exit code and the end of stderr", async () => {
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

  test.for([
    ["Windows wrote", (line: string) => `# mesh\r\n${line} me@here\r\n`],
    ["ssh-keyscan -p wrote", (line: string) => line.replace("pop-os", `[pop-os]:${sshd.port}`)],
    ["a cut off line spoils", (line: string) => `pop-os ssh-ed25519 AAAA\n${line}`],
  ] as const)("finds a name in a file that %s", async ([title, write]) => {
    const line = (await hostLine()).trim();
    await open(await knownHosts(title.replaceAll(" ", "-"), write(line)));
  });

  test("does not use the key of another port for this one", async () => {
    const line = (await hostLine()).replace("pop-os", "[pop-os]:1");
    await expect(connect(options(await knownHosts("port", line)))).rejects.toMatchObject({
      code: "HOST_KEY_UNKNOWN",
    });
  });

  test("prefers the key of the port to that of the name, and says how to replace it", async () => {
    const name = `[pop-os]:${sshd.port}`;
    const text = `${name} ${makeKeyPair().public}\n${await hostLine()}`;
    await expect(connect(options(await knownHosts("both", text)))).rejects.toMatchObject({
      code: "HOST_KEY_CHANGED",
      message: expect.stringContaining(`ssh-keygen -R '${name}' -f`),
    });
  });

  test("asks for the recorded kind of key", async () => {
    // ssh-ed25519 is preferred, so only the record can select the other kind.
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

  test("refuses a host key that is not recorded, and says what to do", async () => {
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

  test("reports a server without a key of the known kind as changed", async () => {
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

  test("keeps the beginning of huge output, and passes on all of it", {
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

  /** Starts a command with a child, and returns the process ids of both. */
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
  /** All processes of a group are signalled before the call settles, and end a moment later. */
  const expectDead = (pids: number[]) =>
    expect.poll(() => alive(pids), { interval: 10 }).toEqual([]);

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

  test("ends the whole process group when the connection is lost", async () => {
    const { connection, pids, done } = await start(FAMILY);
    const lost = expect(done).rejects.toMatchObject({ code: "COMMAND_LOST", command: "script" });
    await connection.close();
    await lost;
    await expectDead(pids);
  });

  test("ends the background processes of a command", async () => {
    const { pids, done } = await start('sleep 60 >/dev/null 2>&1 & echo "$$ $!"');
    await done;
    await expectDead(pids);
  });

  test("starts nothing when the signal has already aborted", async () => {
    const connection = await open();
    const signal = AbortSignal.abort(new Error("too late"));
    await expect(connection.run(commands.print("x"), { signal })).rejects.toThrow("too late");
    await expect(connect(options({ signal }))).rejects.toThrow("too late");
  });

  test("reports that the connection was closed before", async () => {
    const connection = await open();
    await connection.close();
    await expect(connection.run(commands.print("x"))).rejects.toMatchObject({
      code: "COMMAND_LOST",
    });
    await connection.close();
  });

  test("reports that the node starts no further command", async () => {
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
