import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { json } from "node:stream/consumers";
import { describe, expect, onTestFinished, test } from "vitest";
import { clockOff, runAgent, startAgent, stateDir } from "./program.ts";

const TOKEN = `loomj_${"t".repeat(43)}`;

interface Asked {
  node?: string;
  digest: string;
  token?: string;
}

type Answer = (asked: Asked, url: string, response: ServerResponse) => void;

const refuse =
  (status: number, code: string, detail: string): Answer =>
  (_, __, response) =>
    void response
      .writeHead(status, { "content-type": "application/problem+json" })
      .end(JSON.stringify({ type: "urn:x", title: "No", status, code, detail, hint: "do this" }));

const take: Answer = ({ node = "named-by-the-hub" }, url, response) =>
  void response.writeHead(200, { "content-type": "application/json" }).end(
    JSON.stringify({
      node,
      hub: { id: "a-hub", url },
      database: { url, publishableKey: "anon" },
      codeKey: null,
    }),
  );

/** Plays a hub. Its answers are used in turn, the last one for good. */
async function playHub(...answers: Answer[]) {
  const asked: Asked[] = [];
  const others: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    if (request.url !== "/api/loom/join") {
      others.push(request);
      response.writeHead(200, { "content-type": "application/json" }).end("{}");
      return;
    }
    void json(request).then((body) => {
      asked.push(body as Asked);
      const answer = answers.length > 1 ? answers.shift() : answers[0];
      answer?.(body as Asked, url, response);
    });
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { url, asked, others, close: () => server.close() };
}

const read = (folder: string, file: string) => readFileSync(path.join(folder, file), "utf8");
const modeOf = (folder: string, file: string) =>
  (statSync(path.join(folder, file)).mode & 0o777).toString(8);

/** A mount of its own, seen by nobody else: as root, or as root of a user namespace. */
const UNSHARE = ["--user", "--map-root-user", "--mount"];
const mayMount =
  spawnSync("unshare", [...UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).status === 0;

describe("loom-agent join", () => {
  test("makes a key, tells the hub its digest, and keeps both for this user alone", async () => {
    const hub = await playHub(take);
    const LOOM_STATE_DIR = stateDir();
    const env = { LOOM_STATE_DIR, LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" };
    expect(await runAgent(env, ["join", `${hub.url}/`])).toEqual({
      code: 0,
      output: `joined  ${hub.url} as tower`,
    });
    const key = read(LOOM_STATE_DIR, "node-key").trim();
    expect(key).toMatch(/^loomn_[\w-]{43}$/);
    const digest = createHash("sha256").update(key).digest("hex");
    expect(hub.asked).toEqual([{ node: "tower", digest, token: TOKEN }]);
    expect(JSON.parse(read(LOOM_STATE_DIR, "hub.json"))).toMatchObject({
      node: "tower",
      hub: { id: "a-hub", url: hub.url },
    });
    expect([modeOf(LOOM_STATE_DIR, "node-key"), modeOf(LOOM_STATE_DIR, "hub.json")]).toEqual([
      "600",
      "600",
    ]);
    expect(existsSync(path.join(LOOM_STATE_DIR, "node-key.next"))).toBe(false);
  });

  test("takes the name that the hub gives where there is no token", async () => {
    const hub = await playHub(take);
    const { output } = await runAgent({}, ["join", hub.url]);
    expect(output).toBe(`joined  ${hub.url} as named-by-the-hub`);
    expect(hub.asked).toEqual([{ digest: expect.any(String) }]);
  });

  test("asks again with the same key when the answer was lost or the hub is away", {
    timeout: 40_000,
  }, async () => {
    const hub = await playHub(
      (_, __, response) => void response.destroy(),
      refuse(503, "QUEUE_UNAVAILABLE", "the database's API did not answer"),
      take,
    );
    const env = { LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" };
    const { code, output } = await runAgent(env, ["join", hub.url]);
    expect(code).toBe(0);
    expect(output).toMatch(/the hub does not answer yet.*\njoined /s);
    expect(new Set(hub.asked.map(({ digest }) => digest)).size).toBe(1);
    expect(hub.asked).toHaveLength(3);
  });

  test("gives up after a minute of a hub that is away, and goes on with the same key", {
    timeout: 40_000,
  }, async () => {
    const away = await playHub(take);
    await away.close();
    const LOOM_STATE_DIR = stateDir();
    const env = { LOOM_STATE_DIR, LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" };
    // A minute is a second to it.
    const hasty =
      "const now = performance.now.bind(performance); performance.now = () => 60 * now();";
    const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(hasty)}`;
    const { code, output } = await runAgent({ ...env, NODE_OPTIONS }, ["join", away.url]);
    expect(code).toBe(8);
    expect(output.split("\n").at(-1)).toMatch(
      /^loom-agent: http:\S+ does not answer: .*Nothing has changed here; run this again.* \[HUB_AWAY\]$/,
    );
    expect(readdirSync(LOOM_STATE_DIR)).not.toContain("hub.json");
    const key = read(LOOM_STATE_DIR, "node-key.next");
    const back = await playHub(take);
    expect((await runAgent(env, ["join", back.url])).code).toBe(0);
    expect(read(LOOM_STATE_DIR, "node-key")).toBe(key);
  });

  test.for([1, -1])(
    "takes no notice of a clock that is off by a day (%s), and says so",
    async (days) => {
      const hub = await playHub(take);
      const env = { LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower", NODE_OPTIONS: clockOff(days) };
      const { code, output } = await runAgent(env, ["join", hub.url]);
      expect(code).toBe(0);
      expect(output).toMatch(
        new RegExp(
          `^this machine's clock is 14\\d\\d min ${days > 0 ? "ahead of" : "behind"} the hub's.*\njoined `,
        ),
      );
    },
  );

  test.skipIf(!mayMount)("says that the disk is full, and joins when there is room", async () => {
    const hub = await playHub(take);
    const disk = stateDir();
    const env = {
      LOOM_STATE_DIR: path.join(disk, "state"),
      LOOM_JOIN_TOKEN: TOKEN,
      LOOM_NODE_NAME: "tower",
    };
    const script = `mount -t tmpfs -o size=64k tmpfs "$0" && {
      dd if=/dev/zero of="$0/full" 2>/dev/null; "$@"; echo "exit $?, left:" $(ls -A "$0/state"); rm "$0/full"; "$@"
    }`;
    const agent = startAgent(env, ["join", hub.url], {
      prefix: ["unshare", ...UNSHARE, "sh", "-c", script, disk],
    });
    expect(await agent.exited).toBe(0);
    expect(agent.output).toEqual([
      expect.stringMatching(
        /^loom-agent: .*node-key.next cannot be written \(ENOSPC.*\): free disk space.* \[STATE_UNWRITABLE\]$/,
      ),
      "exit 5, left:",
      `joined  ${hub.url} as tower`,
    ]);
    expect(hub.asked).toHaveLength(1);
  });

  test("goes on with the same key after it was killed before the answer", async () => {
    const waiting = Promise.withResolvers<void>();
    const hub = await playHub(() => waiting.resolve(), take);
    const env = { LOOM_STATE_DIR: stateDir(), LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" };
    const first = startAgent(env, ["join", hub.url]);
    await waiting.promise;
    first.child.kill("SIGKILL");
    await first.exited;
    expect((await runAgent(env, ["join", hub.url])).code).toBe(0);
    expect(hub.asked[0]).toEqual(hub.asked[1]);
  });

  test.for<[number, string, number]>([
    [403, "JOIN_TOKEN_REFUSED", 4],
    [403, "JOIN_TOKEN_WRONG_NODE", 4],
    [403, "JOIN_TOKEN_REQUIRED", 4],
    [409, "NODE_NAME_IN_USE", 6],
    [409, "JOIN_NAME_REFUSED", 5],
    [503, "JOIN_UNAVAILABLE", 5],
  ])(
    "says in one sentence why the hub answers %s %s, and ends with %s",
    async ([status, code, exit]) => {
      const hub = await playHub(refuse(status, code, "this is why"));
      const LOOM_STATE_DIR = stateDir();
      const env = { LOOM_STATE_DIR, LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" };
      const { code: ended, output } = await runAgent(env, ["join", hub.url]);
      expect(ended).toBe(exit);
      expect(output).toMatch(new RegExp(`^loom-agent: .*this is why.* \\[${code}\\]$`));
      expect(existsSync(path.join(LOOM_STATE_DIR, "hub.json"))).toBe(false);
    },
  );

  test("makes a new key after one that was used before", async () => {
    const hub = await playHub(refuse(409, "NODE_KEY_USED", "this key was used before"), take);
    const env = { LOOM_STATE_DIR: stateDir(), LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" };
    expect((await runAgent(env, ["join", hub.url])).code).toBe(5);
    expect((await runAgent(env, ["join", hub.url])).code).toBe(0);
    expect(hub.asked[0]?.digest).not.toBe(hub.asked[1]?.digest);
  });

  test("stays with its hub: another one is refused, and gets no key", async () => {
    const [one, other] = [await playHub(take), await playHub(take)];
    const LOOM_STATE_DIR = stateDir();
    const env = { LOOM_STATE_DIR, LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" };
    await runAgent(env, ["join", one.url]);
    const { code, output } = await runAgent(env, ["join", other.url]);
    expect([code, output]).toEqual([5, expect.stringContaining("[JOINED_ELSEWHERE]")]);
    // Nor does a database that the environment names.
    const started = await runAgent({ LOOM_STATE_DIR, SUPABASE_URL: other.url }, ["start"]);
    expect(started.code).toBe(2);
    expect([other.asked, other.others]).toEqual([[], []]);
  });

  test("is another node's when LOOM_NODE_NAME says so, and does not start", async () => {
    const hub = await playHub(take);
    const LOOM_STATE_DIR = stateDir();
    await runAgent({ LOOM_STATE_DIR, LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" }, [
      "join",
      hub.url,
    ]);
    const { code, output } = await runAgent({ LOOM_STATE_DIR, LOOM_NODE_NAME: "anvil" }, ["start"]);
    expect([code, output]).toEqual([2, expect.stringContaining("as tower, and LOOM_NODE_NAME is")]);
  });

  test.for<[string, Record<string, string>, string, number, RegExp]>([
    [
      "a token that is none",
      { LOOM_JOIN_TOKEN: "sesame" },
      "http://127.0.0.1:1",
      4,
      /JOIN_TOKEN_REFUSED/,
    ],
    ["an address of the local network", {}, "http://192.168.7.7:3000", 5, /HUB_UNSAFE/],
    ["a name that nobody has", {}, "http://nobody.invalid:3000", 5, /HUB_UNKNOWN/],
    ["an address with a path", {}, "http://127.0.0.1:1/api", 2, /nothing else/],
    ["an address with a password", {}, "http://a:b@127.0.0.1:1", 2, /nothing else/],
    ["another scheme", {}, "ftp://127.0.0.1:1", 2, /nothing else/],
  ])("refuses %s, and sends nothing", async ([, env, url, code, says]) => {
    const LOOM_STATE_DIR = stateDir();
    const ended = await runAgent({ LOOM_STATE_DIR, ...env }, ["join", url]);
    expect(ended.code).toBe(code);
    expect(ended.output).toMatch(says);
    expect(ended.output).not.toContain("sesame");
    expect(existsSync(path.join(LOOM_STATE_DIR, "node-key"))).toBe(false);
  });

  test("says what to do about a file that somebody changed", async () => {
    const LOOM_STATE_DIR = stateDir();
    writeFileSync(path.join(LOOM_STATE_DIR, "hub.json"), "{");
    const { code, output } = await runAgent({ LOOM_STATE_DIR }, ["start"]);
    expect([code, output]).toEqual([
      2,
      expect.stringContaining("remove it, and run loom-agent join"),
    ]);
  });
});

describe("loom-agent leave", () => {
  test("works without the hub, and says what is left there", async () => {
    const hub = await playHub(take);
    const LOOM_STATE_DIR = stateDir();
    const env = { LOOM_STATE_DIR, HOME: LOOM_STATE_DIR };
    await runAgent({ ...env, LOOM_JOIN_TOKEN: TOKEN, LOOM_NODE_NAME: "tower" }, ["join", hub.url]);
    hub.close();
    const { code, output } = await runAgent(env, ["leave"]);
    expect(code).toBe(0);
    expect(output).toMatch(/key {8}deleted\nleft .*but the database did not answer.*remove tower/);
    for (const file of ["hub.json", "node-key"]) {
      expect(existsSync(path.join(LOOM_STATE_DIR, file))).toBe(false);
    }
  });
});
