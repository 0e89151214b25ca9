import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { faultsOf } from "./support/axe.ts";
import { canBrowse } from "./support/browser.ts";
import { type Dashboard, logIn, openDashboard } from "./support/dashboard.ts";
import type { System } from "./support/system.ts";

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

  test("explains which nodes could run a hypothetical step, typed or of a workflow", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("x");
    await page.getByLabel("Requirements, one a line").fill("has-gpu\nhas-gpuu");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("No known node offers has-gpuu").waitFor();
    await page.getByText("perhaps has-gpu is meant").waitFor();
    await page.getByText("add has-gpuu to pop-os").waitFor();
    await page.getByLabel("Requirements, one a line").fill("has gpu");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByRole("alert").getByText("requires[0]").waitFor();

    await page.getByLabel("What would run").selectOption("needs-gpu");
    await page.getByRole("button", { name: "Explain" }).click();
    await page.getByText("placeable", { exact: true }).waitFor();
    await page.getByRole("row", { name: /^pop-os eligible/ }).waitFor();
    await page.reload();
    await page.getByRole("heading", { name: "needs-gpu · train" }).waitFor();
  });

  test("shows the findings of the doctor with their fixes, and checks again", async () => {
    const { body } = await system.call("POST", "/strands/needs-laser/run", {
      input: {},
      allowUnsatisfiable: true,
    });
    // The page checks every minute; a person who has fixed something does not wait for that.
    await page.reload();
    await page.getByRole("link", { name: "1 check fails" }).click();
    await page
      .getByRole("region", { name: "capabilities" })
      .getByText("add has-laser to")
      .waitFor();
    await page.getByText(/^1 of \d+ checks failed/).waitFor();
    await system.call("POST", `/runs/${String(body.runId)}/cancel`);
    await page.getByRole("button", { name: "Check again" }).click();
    await page.getByText("Nothing is wrong").waitFor();
    expect(await page.getByRole("link", { name: "1 check fails" }).count()).toBe(0);
  });

  test("runs the doctor once when the page is opened, and again when somebody returns to it", async () => {
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

  test("reports that the hub is in no tailnet, and the state of the agents", async () => {
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

  test("pauses and resumes a workflow on every page that shows it", async () => {
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

  test("pauses a schedule for all users, resumes it, and starts its run now", async () => {
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

  test("allows the names that a node asks to offer, revokes its key, and removes it", async () => {
    const incarnation = randomUUID();
    await system.queue.hello({
      name: "nas",
      incarnation,
      leaseMs: 45_000,
      capabilities: [],
      slots: 1,
    });
    await system.sql`insert into loom_node_keys (node, digest, created_by)
      values ('nas', ${"0".repeat(64)}, 'ada')`;
    await system.sql`update openclaw_instances set asked_capabilities = '{has-nas=2tb}' where name = 'nas'`;
    await system.sql`update loom_node_sessions set key_id = (select id from loom_node_keys where node = 'nas') where node = 'nas'`;
    await page.goto(`${system.url}/nodes/nas`);
    await page.getByText("nas asks to offer has-nas=2tb").waitFor();
    const key = page.getByRole("row").filter({ hasText: "by ada" });
    await key.getByText("what is measured").waitFor();
    await page.getByRole("button", { name: "Allow has-nas" }).click();
    await page.getByText("nas asks to offer").waitFor({ state: "hidden" });
    await key.getByText("has-nas", { exact: true }).waitFor();
    expect((await system.call("GET", "/nodes/nas")).body.capabilities).toContain("has-nas=2tb");

    await key.getByRole("button", { name: "Revoke" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
    await key.getByText("revoked").waitFor();

    await page.getByRole("button", { name: "Remove node" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove node" }).click();
    await page.getByRole("heading", { name: "Nodes" }).waitFor();
    await page.getByRole("link", { name: "pop-os" }).waitFor();
    expect(await page.getByRole("link", { name: "nas" }).count()).toBe(0);
  });

  test("adds a hook, tests it, shows what came of the message, and sends it again", async () => {
    const messages: string[] = [];
    const receiver = createServer((request, response) => {
      request.setEncoding("utf8").on("data", (part: string) => void messages.push(part));
      request.once("end", () => response.writeHead(200).end("ok"));
    }).listen(0, "127.0.0.1");
    await once(receiver, "listening");
    const { port } = receiver.address() as AddressInfo;
    await page.goto(`${system.url}/notifications`);
    await page.getByText("Nobody is notified").waitFor();
    await page.getByLabel("Name").fill("chat");
    await page.locator("main select").selectOption("slack");
    await page.getByLabel("a step waits too long").check();
    await page.getByLabel("in minutes").fill("5");
    await page.getByLabel("a step asks a person").check();
    await page.getByLabel("Only for the workflows").fill("needs-laser, hold");
    await page.getByLabel("Address").fill("no address");
    await page.getByRole("button", { name: "Add the hook" }).click();
    await page.getByRole("alert").getByText("must be an address").waitFor();
    await page.getByLabel("Address").fill(`http://127.0.0.1:${port}/geheim`);
    await page.getByRole("button", { name: "Add the hook" }).click();
    const row = page.getByRole("row").filter({ hasText: "chat" });
    await row.getByText("run.failed, run.recovered").waitFor();
    expect((await system.call("GET", "/hooks/chat")).body).toMatchObject({
      rules: ["run.failed", "run.recovered", "step.waiting", "approval.asked"],
      workflows: ["needs-laser", "hold"],
      waitingMs: 300_000,
    });
    await row.getByRole("button", { name: "Test chat" }).click();
    await row.getByText("delivered").waitFor();
    await row.getByRole("link", { name: "chat" }).click();
    const message = page.getByRole("row").filter({ hasText: "Test of chat" });
    await message.getByText("status 200").waitFor();
    await message.getByRole("button", { name: "Send Test of chat again" }).click();
    await expect.poll(() => messages.length).toBe(2);
    expect(messages[0]).toContain("Test of chat");
    expect(await page.content()).not.toContain("geheim");
    receiver.close();
  });

  test("has no serious fault for assistive technology on any page, in both themes and widths", async () => {
    const { body } = await system.call("POST", "/strands/needs-laser/run", {
      input: {},
      allowUnsatisfiable: true,
    });
    const target = { kind: "slack", url: "http://127.0.0.1:9/" };
    await system.call("POST", "/hooks", { name: "seen", rules: ["run.failed"], target });
    await system.call("POST", "/hooks/seen/test");
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
      "/add-machine",
      "/queue",
      "/explain",
      "/explain?what=workflow&workflow=needs-laser",
      "/explain?what=requirements&requires=has%20gpu",
      "/explain?job=1",
      "/doctor",
      "/mesh",
      "/schedules",
      "/notifications",
      "/notifications/seen",
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

  test("groups many nodes by their failing clauses", async () => {
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
