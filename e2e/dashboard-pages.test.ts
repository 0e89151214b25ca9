import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { buildDashboard } from "@loom/dashboard/build";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserPath, openBrowser } from "./support/browser.ts";
import { logIn, paintedPixels, wavesAround } from "./support/dashboard.ts";
import { type System, startSystem } from "./support/system.ts";

const AXE = readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");
/** What a first visit may load, compressed. */
const MAX_BYTES = 200 * 1024;

// Where it is decided whether a change lands, a missing browser is a failure.
const canRun = browserPath !== undefined || process.env.CI !== undefined;

describe.skipIf(!canRun)("the dashboard, in a browser (Chromium, or CHROMIUM_BIN)", () => {
  let system: System;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  const complaints: string[] = [];
  const foreign: string[] = [];
  let bytes = 0;

  beforeAll(async () => {
    await buildDashboard();
    [system, browser] = await Promise.all([startSystem(), openBrowser()]);
    await system.startAgent("pop-os", ["has-gpu"]);
    context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
    page = await context.newPage();
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    page.on("request", (request) => {
      if (new URL(request.url()).origin !== system.url) foreign.push(request.url());
    });
    page.on("requestfinished", async (request) => {
      if (["document", "script", "stylesheet"].includes(request.resourceType())) {
        bytes += (await request.sizes()).responseBodySize;
      }
    });
    await page.goto(system.url);
    await page.getByLabel("Token").waitFor();
  });
  afterAll(async () => {
    await browser?.close();
    await system?.stop();
  });

  test("takes little to load, all of it from the hub, under a strict policy", async () => {
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThan(MAX_BYTES);
    expect(foreign).toEqual([]);
    const answer = await fetch(system.url);
    expect(answer.headers.get("content-security-policy")).toContain("script-src 'self';");
    expect(answer.headers.get("cache-control")).toBe("no-cache");
  });

  test("refuses a token that the hub does not know, and takes one that it does", async () => {
    await logIn(page, { url: system.url, token: "nonsense" });
    await page.getByRole("alert").getByText("the token is unknown").waitFor();
    // The refusals that a login without a session, and with a wrong token, are there to get.
    expect(complaints.every((text) => text.includes("401"))).toBe(true);
    complaints.length = 0;
    await logIn(page, system);
    await page.getByText("live", { exact: true }).waitFor();
    await page.getByRole("link", { name: "oracle, the hub, online, 0 of 4 slots taken" }).waitFor();
  });

  test("shows a run that is started here as pulses on both nodes, until it has succeeded", async () => {
    await page.getByLabel("Workflow").selectOption("cross-node-smoke");
    const waves = wavesAround(page, ["oracle", "pop-os"]);
    await page.getByRole("button", { name: "Run", exact: true }).click();
    expect(await waves).toEqual(["oracle", "pop-os"]);
    const strand = page.locator(".rail-runs a").first();
    await strand.getByText("succeeded").waitFor();
    await strand.getByText("oracle → pop-os → oracle").waitFor();
    await page.getByText("cross-node-smoke · remote succeeded on pop-os").waitFor();

    await strand.click();
    for (const step of ["local", "remote", "check"]) {
      await page.getByRole("heading", { name: step }).waitFor();
    }
    await page.getByRole("tab", { name: "events" }).click();
    await page.getByText("run.finished").waitFor();
    await page.getByRole("tab", { name: "logs" }).click();
    await page.getByText("local step").waitFor();
  });

  test("says why a step waits, on the map, in the queue and with its run, and can cancel it", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("w");
    await page.getByRole("link", { name: "needs-laser" }).click();
    await page.getByRole("button", { name: "Run needs-laser" }).click();
    const reason = /no known node offers has-laser/i;
    await page.getByRole("alert").getByText(reason).waitFor();
    await page.getByRole("button", { name: "Start it all the same" }).click();
    await page.getByRole("button", { name: "Cancel run" }).waitFor();
    await page.getByText(reason).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("l");
    await page.getByRole("link", { name: "1 waiting for a node" }).waitFor();
    await page.getByText(reason).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("q");
    await page.getByText(reason).first().waitFor();

    await page.getByRole("link", { name: "What each node says" }).click();
    await page.getByRole("heading", { name: "needs-laser · cut" }).waitFor();
    await page.getByText("no_capable_node", { exact: true }).waitFor();
    const row = page.getByRole("row", { name: /^pop-os/ });
    await row.getByText("ineligible").waitFor();
    await row.getByText("not met").waitFor();

    await page.keyboard.press("g");
    await page.keyboard.press("q");
    await page.getByRole("button", { name: "Cancel" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    await page.getByText("Nothing waits").waitFor();
  });

  test("says which nodes could run what nobody has started, typed or as a workflow", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("x");
    await page.getByLabel("Requirements, one a line").fill("has-gpu\nhas-gpuu");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("No known node offers has-gpuu").waitFor();
    await page.getByText("perhaps has-gpu is meant").waitFor();
    await page.getByText("add has-gpuu to pop-os").waitFor();
    await page.getByLabel("Requirements, one a line").fill("has gpu");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("alert").getByText("requires.0").waitFor();

    await page.getByLabel("What would run").selectOption("needs-gpu");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("placeable", { exact: true }).waitFor();
    await page.getByRole("row", { name: /^pop-os eligible/ }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "needs-gpu · train" }).waitFor();
  });

  test("shows what the doctor finds with what would mend it, and looks again", async () => {
    const { body } = await system.call("POST", "/strands/needs-laser/run", {
      input: {},
      allowUnsatisfiable: true,
    });
    // Every minute by itself; a person who mends something does not wait for that.
    await page.reload();
    await page.getByRole("link", { name: "1 check fails" }).click();
    await page
      .getByRole("region", { name: "capabilities" })
      .getByText("add has-laser to")
      .waitFor();
    await page.getByText("1 of 11 checks failed").waitFor();
    await system.call("POST", `/runs/${String(body.runId)}/cancel`);
    await page.getByRole("button", { name: "Check again" }).click();
    await page.getByText("Nothing is wrong").waitFor();
    expect(await page.getByRole("link", { name: "1 check fails" }).count()).toBe(0);
  });

  test("says plainly that the hub is in no tailnet, and how the agents are", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.getByRole("heading", { name: "The hub is in no tailnet" }).waitFor();
    await page.getByRole("row", { name: /^pop-os online/ }).waitFor();
  });

  test("shows an agent that is killed as lost, and as recovered when it is started again", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("l");
    const agent = await system.startAgent("pi", ["has-camera"]);
    await page.getByRole("link", { name: /^pi, online/ }).waitFor();
    await agent.stop("SIGKILL");
    await page.getByRole("link", { name: /^pi, offline/ }).waitFor();
    await page.getByText("pi is lost").waitFor();
    await page.getByText("2 of 3 nodes online").waitFor();
    await system.startAgent("pi", ["has-camera"]);
    await page.getByRole("link", { name: /^pi, online/ }).waitFor();
  });

  test("pauses a node, and resumes it", async () => {
    await page.getByRole("link", { name: /^pop-os, online/ }).click();
    await page.getByRole("button", { name: "Pause node" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Pause node" }).click();
    await page.getByRole("button", { name: "Resume node" }).click();
    await page.getByRole("heading", { name: "pop-os online" }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("l");
  });

  test("repeats what failed of a run, and not what succeeded", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "loom-breaks-"));
    const file = path.join(folder, "there");
    await page.goto(`${system.url}/workflows/breaks`);
    await page.getByLabel("file").fill(file);
    await page.getByRole("button", { name: "Run breaks" }).click();
    await page.getByText(`${file} is not there`).first().waitFor();
    await writeFile(file, "");
    await page.getByRole("button", { name: "Retry what failed" }).click();
    await page.getByText("repeats").waitFor();
    await page.locator(".run-head").getByText("succeeded").waitFor();
    await page.getByRole("tab", { name: "events" }).click();
    await page.getByText("run.finished").waitFor();
    expect(await page.getByText("job.claimed").count()).toBe(1);
    await rm(folder, { recursive: true });
  });

  test("pauses a workflow, wherever that is shown, and lets it go on", async () => {
    const overview = await context.newPage();
    await overview.goto(`${system.url}/workflows`);
    const card = overview.getByRole("listitem").filter({ hasText: "needs-gpu" });
    await card.waitFor();
    await page.bringToFront();
    await page.goto(`${system.url}/workflows/needs-gpu`);
    await page.getByRole("button", { name: "Pause workflow" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Pause workflow" }).click();
    await page.getByText("nothing new is placed").waitFor();
    await card.getByText("paused").waitFor();
    const { body } = await system.call("POST", "/strands/needs-gpu/run", { input: {} });
    await page.goto(`${system.url}/runs/${String(body.runId)}?tab=placement`);
    await page.getByText("paused_workflow").waitFor();
    await page.goto(`${system.url}/workflows/needs-gpu`);
    await page.getByRole("button", { name: "Resume workflow" }).click();
    await card.getByText("paused").waitFor({ state: "hidden" });
    await page.goto(`${system.url}/runs/${String(body.runId)}`);
    await page.locator(".run-head").getByText("succeeded").waitFor();
    await overview.close();
  });

  test("pauses a schedule, which stays so for everybody, resumes it, and starts its run now", async () => {
    const other = await context.newPage();
    await other.goto(`${system.url}/schedules`);
    const seen = other.getByRole("row").filter({ hasText: "cross-node-smoke" });
    await seen.getByText("active").waitFor();
    await page.bringToFront();
    await page.goto(`${system.url}/schedules`);
    const row = page.getByRole("row").filter({ hasText: "cross-node-smoke" });
    await row.getByText("*/15 * * * *").waitFor();
    await row.getByRole("button", { name: "Pause" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Pause" }).click();
    await row.getByText("paused").waitFor();
    await seen.getByText("paused").waitFor();
    await row.getByRole("button", { name: "Run now" }).click();
    await page.locator(".run-head").getByText("succeeded").waitFor();
    await page.goto(`${system.url}/schedules`);
    await row.getByRole("button", { name: "Resume" }).click();
    await seen.getByText("active").waitFor();
    await other.close();
    await page.goto(system.url);
    await page.getByText("3 of 3 nodes online").waitFor();
  });

  test("goes back through what happened, and returns to now", async () => {
    await page.getByRole("slider", { name: "Moment" }).focus();
    await page.keyboard.press("Home");
    await page.getByText("1 of 3 nodes online").waitFor();
    await page.getByRole("button", { name: "Back to now" }).click();
    await page.getByText("3 of 3 nodes online").waitFor();
  });

  test("goes back also to what happened before it was opened, which is not taken for now", async () => {
    await page.goto(system.url);
    await page.getByText("3 of 3 nodes online").waitFor();
    expect(await paintedPixels(page)).toBe(0);
    await page.getByRole("slider", { name: "Moment" }).focus();
    await page.keyboard.press("Home");
    await page.getByText("1 of 3 nodes online").waitFor();
    const waves = wavesAround(page, ["oracle", "pop-os"]);
    await page.getByLabel("Speed").selectOption("4");
    expect(await waves).toEqual(["oracle", "pop-os"]);
    await page.getByText("2 of 3 nodes online").waitFor();
    await page.getByText("oracle → pop-os → oracle").first().waitFor();
    await page.getByRole("button", { name: "Back to now" }).click();
    await page.getByText("3 of 3 nodes online").waitFor();
  });

  test("has no serious fault for assistive technology on any page, in both themes and widths", async () => {
    const { body } = await system.call("POST", "/strands/needs-laser/run", {
      input: {},
      allowUnsatisfiable: true,
    });
    const addresses = [
      "/",
      "/?view=table",
      "/runs",
      `/runs/${String(body.runId)}`,
      `/runs/${String(body.runId)}?tab=placement`,
      "/workflows",
      "/workflows/hold",
      "/nodes",
      "/nodes/pop-os",
      "/queue",
      "/explain",
      "/explain?what=workflow&workflow=needs-laser",
      "/explain?what=requirements&requires=has%20gpu",
      "/explain?job=1",
      "/doctor",
      "/mesh",
      "/schedules",
      "/settings",
      "/no-such-page",
    ];
    const found: string[] = [];
    for (const [width, colorScheme] of [
      [1440, "light"],
      [360, "dark"],
    ] as const) {
      await page.setViewportSize({ width, height: 900 });
      await page.emulateMedia({ colorScheme });
      for (const address of addresses) {
        await page.goto(system.url + address);
        await page.getByText("live", { exact: true }).waitFor();
        await expect.poll(() => page.locator(".loading").count()).toBe(0);
        found.push(...(await faultsOf(page)).map((fault) => `${address} ${colorScheme}: ${fault}`));
        const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
        if (Number(overflow) > 0) found.push(`${address}: ${overflow} px too wide at ${width}`);
      }
    }
    expect(found).toEqual([]);
  });

  test("keeps what it knows while the hub is away, says so, and goes on when it is back", async () => {
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(system.url);
    await page.getByRole("link", { name: /^pop-os, online/ }).waitFor();
    await system.killHub();
    await page.getByText("reconnecting").waitFor();
    await page.getByRole("link", { name: /^pop-os, online/ }).waitFor();
    await system.startHub();
    await page.getByText("live", { exact: true }).waitFor();
  });

  test("tells of many nodes in groups that the same speaks against", async () => {
    for (let node = 1; node <= 50; node += 1) {
      await system.queue.hello({
        name: `many-${node}`,
        incarnation: crypto.randomUUID(),
        leaseMs: 60_000,
        capabilities: ["has-many"],
        slots: 1,
      });
    }
    await page.goto(`${system.url}/explain?what=requirements&requires=has-many%0Ahas-gpu`);
    await page.getByRole("row", { name: "has-many 50 of 53" }).waitFor();
    await page.getByRole("row", { name: /^50 ineligible lacks has-gpu many-1, / }).waitFor();
    expect(await faultsOf(page)).toEqual([]);
  });
});

/** What axe finds that keeps somebody from using the page. */
async function faultsOf(page: Page): Promise<string[]> {
  // Through the debugger: the page's own policy lets no script of others in.
  await page.evaluate(AXE);
  const violations = (await page.evaluate(
    "axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)",
  )) as { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[];
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id} ${nodes[0]?.html} ${nodes[0]?.failureSummary}`);
}
