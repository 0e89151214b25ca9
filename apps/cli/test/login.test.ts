import { once } from "node:events";
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { describe, expect, onTestFinished } from "vitest";
import { exitInDocs, TOKEN, test } from "./fixtures.ts";

const contextsIn = (folder: string) =>
  JSON.parse(readFileSync(path.join(folder, "contexts.json"), "utf8"));

/** Says who calls, and keeps the tokens that it was sent. */
async function startOther() {
  const tokens: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    tokens.push(request.headers.authorization);
    response.setHeader("content-type", "application/json");
    response.end('{"who":"stranger","scopes":["read"],"expiresAt":null,"data":[],"next":null}');
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, tokens };
}

describe("login", { timeout: 120_000 }, () => {
  test("saves the token of standard input for this user alone", async ({ loom, hub, folder }) => {
    // As a file of Windows ends its lines.
    const { code, stderr, stdout } = await loom(["login", `${hub.url}/`, "--name", "home"], {
      input: `${TOKEN}\r\n`,
      bare: true,
    });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toBe(`logged in to ${hub.url} as bootstrap token (admin); context home\n`);
    expect(statSync(path.join(folder, "contexts.json")).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder)).toEqual(["contexts.json"]);
    expect(contextsIn(folder)).toEqual({
      version: 1,
      current: "home",
      contexts: { home: { url: hub.url, token: TOKEN } },
    });
    expect((await loom(["ps"], { bare: true })).code).toBe(0);
  });

  test("saves nothing when the hub refuses the token", async ({ loom, hub, folder }) => {
    for (const [input, error] of [
      ["wrong", "UNAUTHORIZED"],
      ["", "UNAUTHORIZED"],
      ["two words", "USAGE"],
      ["töken", "USAGE"],
    ] as const) {
      const { code, stderr } = await loom(["login", hub.url], { input, bare: true });
      expect(code).toBe(exitInDocs(error));
      expect(stderr).toContain(`[${error}]`);
    }
    expect(readdirSync(folder)).toEqual([]);
  });

  test("takes no token as an argument", async ({ loom, hub }) => {
    const { code, stderr } = await loom(["login", hub.url, TOKEN], { bare: true });
    expect(code).toBe(2);
    expect(stderr).toContain("too many arguments");
  });

  test("asks on a terminal, and shows nothing of what is typed", async ({
    terminal,
    hub,
    folder,
  }) => {
    const asking = terminal(["login", hub.url], { bare: true });
    await asking.shows(/token: /);
    asking.type(`x\u007f${TOKEN}\r`);
    expect(await asking.exit()).toBe(0);
    expect(asking.screen()).not.toContain(TOKEN);
    expect(contextsIn(folder).contexts).toEqual({ "127.0.0.1": { url: hub.url, token: TOKEN } });
  });

  test("ends with Ctrl-C at the question, and saves nothing", async ({ terminal, hub, folder }) => {
    const asking = terminal(["login", hub.url], { bare: true });
    await asking.shows(/token: /);
    asking.type("secret\u0003");
    expect(await asking.exit()).toBe(130);
    expect(readdirSync(folder)).toEqual([]);
  });

  test("without an address says what to do", async ({ loom }) => {
    const { code, stderr } = await loom(["login"], { input: TOKEN, bare: true });
    expect(code).toBe(exitInDocs("NO_HUB"));
    expect(stderr).toMatch(/fix {2}loom login http:/);
  });
});

describe("contexts", { timeout: 120_000 }, () => {
  test("are listed, chosen and forgotten", async ({ loom, hub, folder }) => {
    const other = await startOther();
    const bare = { bare: true };
    await loom(["login", hub.url, "--name", "home"], { input: TOKEN, ...bare });
    await loom(["login", other.url, "--name", "work"], { input: "other-token", ...bare });
    const { stdout } = await loom(["context", "ls"], bare);
    expect(stdout).toMatch(/^ +home +http:\S+ +saved$/m);
    expect(stdout).toMatch(/^\* +work +http:\S+ +saved$/m);
    expect(stdout).not.toContain("token");
    await loom(["context", "use", "home"], bare);
    expect(contextsIn(folder).current).toBe("home");
    expect((await loom(["--context", "work", "runs"], bare)).code).toBe(0);
    const failed = await loom(["context", "use", "hom"], bare);
    expect(failed.code).toBe(exitInDocs("UNKNOWN_CONTEXT"));
    expect(failed.stderr).toContain("fix  loom context use home\n");
    expect((await loom(["ps", "--context", "worc"], bare)).stderr).toContain(
      "fix  loom ps --context work\n",
    );
    await loom(["context", "rm", "home"], bare);
    expect(contextsIn(folder)).toMatchObject({ current: null, contexts: { work: {} } });
    expect((await loom(["ps"], bare)).code).toBe(exitInDocs("NO_HUB"));
  });

  test("send a token only to the address that it was saved for", async ({ loom, hub, folder }) => {
    const other = await startOther();
    const save = (contexts: object, current: string) =>
      writeFileSync(path.join(folder, "contexts.json"), JSON.stringify({ current, contexts }), {
        mode: 0o600,
      });
    save({ home: { url: hub.url, token: TOKEN } }, "home");
    // LOOM_URL names another hub: it gets no saved token.
    await loom(["runs"], { bare: true, env: { LOOM_URL: other.url } });
    expect(other.tokens).toEqual([undefined]);
    // It names the same hub, written in another way.
    const same = { LOOM_URL: `${hub.url.replace("http:", "HTTP:")}/` };
    expect((await loom(["runs"], { bare: true, env: same })).code).toBe(0);
    // LOOM_TOKEN belongs to LOOM_URL, and goes to no context.
    save({ work: { url: other.url } }, "work");
    await loom(["runs"], { bare: true, env: { LOOM_TOKEN: TOKEN } });
    expect(other.tokens).toEqual([undefined, undefined]);
    // What is asked for by name wins over the environment.
    const env = { LOOM_URL: hub.url, LOOM_TOKEN: TOKEN };
    await loom(["runs", "--context", "work"], { bare: true, env });
    expect(other.tokens).toEqual([undefined, undefined, undefined]);
  });
});
