import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canBrowse } from "./support/browser.ts";
import { type Dashboard, logIn, openDashboard } from "./support/dashboard.ts";
import type { System } from "./support/system.ts";

const AXE = readFileSync(new URL(import.meta.resolve("axe-core/axe.min.js")), "utf8");

describe.skipIf(!canBrowse)("the pages, in a browser (Chromium, or CHROMIUM_BIN)", () => {
  let dashboard: Dashboard;
  let system: System;
  let page: Page;

  beforeAll(async () => {
    dashboard = await openDashboard();
    ({ system, page } = dashboard);
    await logIn(page, system);
    await page.getByText("live", { exact: true }).waitFor();
  });
  afterAll(() => dashboard?.close());

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

  test("asks the doctor once when a visit begins with it, and anew when somebody comes back to it", async () => {
    let asked = 0;
    page.on("request", (request) => {
      if (request.url().endsWith("/api/loom/doctor")) asked += 1;
    });
    await page.goto(`${system.url}/doctor`);
    await page.getByText("Nothing is wrong").waitFor();
    expect(asked).toBe(1);
    await page.keyboard.press("g");
    await page.keyboard.press("n");
    await page.getByRole("heading", { name: "Nodes" }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("d");
    await page.getByText("Nothing is wrong").waitFor();
    await expect.poll(() => asked).toBe(2);
  });

  test("says plainly that the hub is in no tailnet, and how the agents are", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.getByRole("heading", { name: "The hub is in no tailnet" }).waitFor();
    await page.getByRole("row", { name: /^pop-os online/ }).waitFor();
  });

  test("pauses a node, and resumes it", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("l");
    await page.getByRole("link", { name: /^pop-os, online/ }).click();
    await page.getByRole("button", { name: "Pause node" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Pause node" }).click();
    await page.getByRole("button", { name: "Resume node" }).click();
    await page.getByRole("heading", { name: "pop-os online" }).waitFor();
  });

  test("pauses a workflow, wherever that is shown, and lets it go on", async () => {
    const overview = await page.context().newPage();
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
    const other = await page.context().newPage();
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
    await page.setViewportSize({ width: 1440, height: 900 });
    await page.goto(`${system.url}/explain?what=requirements&requires=has-many%0Ahas-gpu`);
    await page.getByRole("row", { name: "has-many 50 of 52" }).waitFor();
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
