import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import path from "node:path";
import { describe, expect, onTestFinished } from "vitest";
import { beginStep, type Ended, exitInDocs, TOKEN, test } from "./fixtures.ts";

/** Three lines on standard error, nothing on standard output, and the exit code of docs/cli.md. */
function expectError({ code, stdout, stderr }: Ended, error: string): void {
  expect(stderr).toMatch(new RegExp(`^loom: .+ \\[${error}\\]\\n  why  .+\\n  fix  .+\\n$`));
  expect(code).toBe(exitInDocs(error));
  expect(stdout).toBe("");
}

/** The last line of an error: what to do. */
const fixOf = ({ stderr }: Ended) => /\n {2}fix {2}(.+)\n$/.exec(stderr)?.[1];

/** Answers every request in one way, and keeps what it was sent. */
async function startServer(status: number, headers: Record<string, string>, body: string) {
  const seen: { url: string | undefined; authorization: string | undefined }[] = [];
  const server = createServer((request, response) => {
    seen.push({ url: request.url, authorization: request.headers.authorization });
    response.writeHead(status, headers).end(body);
  }).listen(0, "127.0.0.1");
  onTestFinished(() => void server.close());
  await once(server, "listening");
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
}

describe("the command line", { timeout: 120_000 }, () => {
  test.for([
    [["rnu", "visit"], "USAGE", "loom run visit"],
    [["run"], "USAGE", "loom run --help"],
    [["node", "lss"], "USAGE", "loom node ls"],
    [["ps", "--wroflow", "visit"], "USAGE", "loom ps --workflow visit"],
    [["run", "visit", "-i", "greeting"], "USAGE", undefined],
    [["run", "visit", "-i", "{"], "USAGE", undefined],
    [["run", "visit", "--input-file", "/nowhere.json"], "FILE_UNREADABLE", undefined],
    [["run", "visit", "--wait", "--timeout", "soon"], "USAGE", "--timeout 15m"],
    [["runs", "--limit", "0"], "USAGE", undefined],
    [["runs", "--status", "done"], "USAGE", undefined],
    [["logs", "visit", "--tail", "-1"], "USAGE", undefined],
    [["queue", "--state", "runing"], "USAGE", "loom queue --state running"],
    [["token", "add", "x", "--scope", "reed"], "USAGE", "loom token add x --scope read"],
    [["node", "upgrade"], "USAGE", "loom node upgrade --all"],
    [
      ["hook", "add", "x", "--on", "run.fails", "--ntfy"],
      "USAGE",
      "loom hook add x --on run.failed --ntfy",
    ],
    [["hook", "add", "x", "--on", "run.failed", "--ntfy", "--slack"], "USAGE", undefined],
    [["hook", "add", "x", "--on", "run.failed", "--slack"], "USAGE", undefined],
    [["hook", "add", "x", "--on", "run.failed", "--email"], "USAGE", undefined],
  ] as const)("%j is refused with %s", async ([args, error, fix], { loom }) => {
    const failed = await loom(args);
    expectError(failed, error);
    if (fix !== undefined) expect(fixOf(failed)).toBe(fix);
  });

  test("names what may have been meant", async ({ loom, made }) => {
    await made.nodes();
    const id = await made.run("visit");
    const wrong = `${id.slice(0, 7)}${id[7] === "0" ? "1" : "0"}`;
    const cases = [
      [["run", "visti"], "UNKNOWN_WORKFLOW", "loom run visit"],
      [["run", "my visit"], "UNKNOWN_WORKFLOW", "loom workflow ls"],
      [["show", "Visit"], "UNKNOWN_WORKFLOW", "loom show visit"],
      [["node", "pause", "towr"], "NODE_NOT_FOUND", "loom node pause tower"],
      [["schedule", "trigger", "nightlly"], "SCHEDULE_NOT_FOUND", "loom schedule trigger nightly"],
      [["retry", wrong], "RUN_NOT_FOUND", `loom retry ${id.slice(0, 8)}`],
      [["cancel", id.replace(/.$/, id.endsWith("0") ? "1" : "0")], "RUN_NOT_FOUND", "loom runs"],
      [["retry", id, "--from", "her"], "UNKNOWN_STEP", `loom retry ${id} --from here`],
      [["logs", id, "ther"], "UNKNOWN_STEP", `loom logs ${id} there`],
      [["why", "777"], "JOB_NOT_FOUND", "loom queue"],
      [["cancel", "visit"], "RUN_NOT_FOUND", "loom ps --workflow visit"],
      [["token", "revoke", "x"], "TOKEN_NOT_FOUND", "loom token ls"],
      [["hook", "test", "x"], "HOOK_NOT_FOUND", "loom hook ls"],
    ] as const;
    for (const [args, error, fix] of cases) {
      const failed = await loom(args);
      expectError(failed, error);
      expect(fixOf(failed)).toBe(fix);
    }
  });

  test("explains an input that does not fit, and a run that no node could run", async ({
    loom,
    made,
  }) => {
    await made.nodes();
    await loom(["node", "remove", "tower"]);
    const impossible = await loom(["run", "train"]);
    expectError(impossible, "UNSATISFIABLE");
    expect(fixOf(impossible)).toBe(
      "loom node add --may-offer has-gpu (or let it wait for such a node: --allow-unsatisfiable)",
    );
    const invalid = await loom(["run", "visit", "-i", "times=often"]);
    expectError(invalid, "INVALID_INPUT");
    expect(invalid.stderr).toContain("input.times");
    expect(fixOf(invalid)).toBe("loom show visit");
  });

  test("prints an error as JSON for a program", async ({ loom }) => {
    const { code, stdout, stderr } = await loom(["node", "show", "towr", "--json"]);
    expect(code).toBe(exitInDocs("NODE_NOT_FOUND"));
    expect(stdout).toBe("");
    expect(JSON.parse(stderr)).toEqual({
      version: 1,
      error: {
        code: "NODE_NOT_FOUND",
        what: "there is no node towr",
        why: expect.any(String),
        fix: "loom node ls",
        exit: 3,
      },
    });
  });
});

describe("a hub", { timeout: 120_000 }, () => {
  test("that is not chosen, is away or is something else", async ({ loom }) => {
    expectError(await loom(["ps"], { bare: true }), "NO_HUB");
    expectError(await loom(["ps"], { env: { LOOM_URL: "http://127.0.0.1:1" } }), "HUB_AWAY");
    expectError(await loom(["ps"], { env: { LOOM_URL: "http://no.such.invalid" } }), "HUB_AWAY");
    for (const url of ["pi:3000", "ftp://pi", "http://a:b@pi:3000", "http://pi/?x"]) {
      expectError(await loom(["ps"], { env: { LOOM_URL: url } }), "USAGE");
    }
    const html = { "content-type": "text/html" };
    for (const server of [
      await startServer(200, html, "<h1>Hello</h1>"),
      await startServer(404, html, "<h1>Not found</h1>"),
      await startServer(204, {}, ""),
    ]) {
      expectError(await loom(["ps"], { env: { LOOM_URL: server.url } }), "NOT_A_HUB");
    }
  });

  test("that refuses the token says how to log in", async ({ loom, hub }) => {
    for (const LOOM_TOKEN of ["wrong", ""]) {
      const failed = await loom(["ps"], { env: { LOOM_TOKEN } });
      expectError(failed, "UNAUTHORIZED");
      expect(fixOf(failed)).toBe(`loom login ${hub.url}`);
    }
  });

  test("that sends callers elsewhere gets no second request, and nobody else the token", async ({
    loom,
  }) => {
    const elsewhere = await startServer(200, {}, "{}");
    const hub = await startServer(307, { location: `${elsewhere.url}/api/loom/runs` }, "");
    const env = { LOOM_URL: hub.url, LOOM_TOKEN: TOKEN };
    expectError(await loom(["ps"], { env }), "NOT_A_HUB");
    expect(hub.seen).toHaveLength(1);
    expect(elsewhere.seen).toEqual([]);
  });
});

describe("output", { timeout: 120_000 }, () => {
  test("ends quietly when its reader goes away, as in `| head`", async ({ made, queue, start }) => {
    const { pi } = await made.nodes();
    await made.run("visit");
    const chunk = `${"x".repeat(63)}\n`.repeat(4_096);
    const { id } = await beginStep(queue, pi, Array(8).fill(chunk));
    const child = start(["logs", String(id)]);
    let stderr = "";
    child.stderr?.on("data", (part) => {
      stderr += part;
    });
    child.stdout?.once("data", () => child.stdout?.destroy());
    const [code] = await once(child, "exit");
    expect({ code, stderr }).toEqual({ code: 141, stderr: "" });
  });

  test("of 10 MiB comes whole, to a reader that is slow too", async ({ made, queue, start }) => {
    const { pi } = await made.nodes();
    await made.run("visit");
    const chunk = `${"x".repeat(63)}\n`.repeat(4_096);
    const { id } = await beginStep(queue, pi, Array(40).fill(chunk));
    const child = start(["logs", String(id)]);
    let bytes = 0;
    for await (const part of child.stdout ?? []) {
      if (bytes === 0) await new Promise((resolve) => setImmediate(resolve));
      bytes += part.length;
    }
    expect(bytes).toBe(40 * chunk.length);
  });

  test("cannot steer the terminal with names and notes", async ({ loom, made }) => {
    await made.nodes();
    await loom(["node", "pause", "tower", "--note", "\u001b]0;owned\u0007lunch\nfix  rm -rf /"]);
    const { stdout } = await loom(["node", "show", "tower"]);
    expect(stdout).toContain("\ufffd]0;owned\ufffdlunch fix  rm -rf /");
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none of them may be there
    expect(stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/);
  });

  test("has colours on a terminal alone, and none with NO_COLOR", async ({ made, terminal }) => {
    await made.nodes();
    const coloured = terminal(["node", "ls"]);
    expect(await coloured.exit()).toBe(0);
    expect(coloured.screen()).toContain("\u001b[32mactive\u001b[39m");
    const plain = terminal(["node", "ls"], { env: { NO_COLOR: "1" } });
    expect(await plain.exit()).toBe(0);
    expect(plain.screen()).not.toContain("\u001b[");
  });

  test("fits the width of a terminal", async ({ made, terminal, queue }) => {
    await made.nodes();
    await made.run("visit");
    const reason = { code: "no_nodes", summary: "because ".repeat(40) };
    const [job] = await queue.listWaiting();
    await queue.place({ offers: [], refusals: [{ job: job?.id ?? 0, reason }] });
    const shown = terminal(["queue"], { env: { NO_COLOR: "1" } });
    expect(await shown.exit()).toBe(0);
    const lines = shown.screen().trimEnd().split("\r\n");
    expect(lines.some((line) => line.endsWith("…"))).toBe(true);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  });
});

describe("Ctrl-C", { timeout: 120_000 }, () => {
  test("stops watching, and a second one cancels the run", async ({ made, terminal, queue }) => {
    await made.nodes();
    const watching = terminal(["run", "visit", "--follow"]);
    await watching.shows(/run [0-9a-f-]{36}/);
    const [, id = ""] = /run ([0-9a-f-]{36})/.exec(watching.screen()) ?? [];
    watching.type("\u0003");
    await watching.shows(/goes on; watch it again: loom logs -f/);
    expect((await queue.getRun(id)).status).toBe("running");
    watching.type("\u0003");
    expect(await watching.exit()).toBe(130);
    expect(watching.screen()).toContain(`asked the hub to cancel run ${id.slice(0, 8)}`);
    expect((await queue.getRun(id)).status).toBe("cancelled");
  });

  test("of a script ends the watching at once, and the run goes on", async ({
    made,
    start,
    queue,
  }) => {
    await made.nodes();
    const watching = start(["run", "visit", "--wait"]);
    const exit = once(watching, "exit");
    let stderr = "";
    for await (const part of watching.stderr ?? []) {
      const isFirst = !/run [0-9a-f-]{36}/.test(stderr);
      stderr += part;
      if (isFirst && /run [0-9a-f-]{36}/.test(stderr)) watching.kill("SIGINT");
    }
    const [, id = ""] = /run ([0-9a-f-]{36})/.exec(stderr) ?? [];
    expect((await exit)[0]).toBe(130);
    expect((await queue.getRun(id)).status).toBe("running");
  });
});

describe("--timeout", { timeout: 120_000 }, () => {
  test("ends the waiting with a code of its own", async ({ loom, made, queue }) => {
    await made.nodes();
    const { code, stdout, stderr } = await loom(["run", "visit", "--wait", "--timeout", "200ms"]);
    expect(code).toBe(exitInDocs("TIMED_OUT"));
    expect(stdout).toBe("");
    expect(stderr).toMatch(/\[TIMED_OUT\]\n {2}why {2}it goes on/);
    expect(await queue.listWaiting()).toHaveLength(1);
  });
});

describe("the file of contexts", { timeout: 120_000 }, () => {
  test("that cannot be read is named", async ({ loom, folder }) => {
    const file = path.join(folder, "contexts.json");
    for (const text of ["{", "[]", '{"contexts":{"pi":{"url":"pi"}}}', '{"contexts":{"pi":{}}}']) {
      writeFileSync(file, text, { mode: 0o600 });
      const failed = await loom(["ps"], { bare: true });
      expectError(failed, "CONTEXTS_UNREADABLE");
      expect(failed.stderr).toContain(file);
    }
  });

  test("that others may read is not used", async ({ loom, folder }) => {
    writeFileSync(path.join(folder, "contexts.json"), '{"contexts":{}}', { mode: 0o644 });
    const failed = await loom(["ps"], { bare: true });
    expectError(failed, "CONTEXTS_EXPOSED");
    expect(fixOf(failed)).toBe(`chmod 600 ${path.join(folder, "contexts.json")}`);
  });

  test("that cannot be written leaves nothing", async ({ loom, hub, folder }) => {
    mkdirSync(path.join(folder, "contexts.json"));
    const failed = await loom(["login", hub.url], { input: TOKEN, bare: true });
    expect(failed.code).toBe(2);
    expect(failed.stderr).toContain("contexts.json");
  });
});
