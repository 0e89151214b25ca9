import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createHubClient } from "@loom/client";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from "vitest";
import { canBrowse } from "./support/browser.ts";
import {
  type Dashboard,
  logIn,
  openDashboard,
  paintedPixels,
  wavesAround,
} from "./support/dashboard.ts";
import type { System } from "./support/system.ts";

/** What a first visit may load, compressed. */
const MAX_BYTES = 200 * 1024;

describe.skipIf(!canBrowse)("the map and runs, in a browser (Chromium, or CHROMIUM_BIN)", () => {
  let dashboard: Dashboard;
  let system: System;
  let page: Page;

  beforeAll(async () => {
    dashboard = await openDashboard();
    ({ system, page } = dashboard);
    // It would fire within a quarter of an hour, and pulse.
    await vi.waitUntil(() => system.queue.pauseSchedule("cross-node-smoke"), { timeout: 10_000 });
  });
  afterAll(() => dashboard?.close());

  test("takes little to load, all of it from the hub, under a strict policy", async () => {
    const foreign: string[] = [];
    let bytes = 0;
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
    expect(bytes).toBeGreaterThan(10_000);
    expect(bytes).toBeLessThan(MAX_BYTES);
    expect(foreign).toEqual([]);
    const answer = await fetch(system.url);
    expect(answer.headers.get("content-security-policy")).toContain("script-src 'self';");
    expect(answer.headers.get("cache-control")).toBe("no-cache");
  });

  test("refuses an unknown token, and accepts a known one", async () => {
    const complaints: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
    });
    page.on("pageerror", (error) => complaints.push(error.message));
    await logIn(page, { url: system.url, token: "nonsense" });
    await page.getByRole("alert").getByText("the token is unknown").waitFor();
    // The refusals that a login without a session, and with a wrong token, are there to get.
    expect(complaints.every((text) => text.includes("401"))).toBe(true);
    await logIn(page, system);
    await page.getByText("live", { exact: true }).waitFor();
    await page.getByRole("link", { name: "oracle, the hub, online, 0 of 4 slots taken" }).waitFor();
  });

  test("shows a run that is started here as pulses on both nodes, until it has succeeded", async () => {
    await page.getByLabel("Workflow").selectOption("cross-node-smoke");
    const waves = wavesAround(page, ["oracle", "pop-os"]);
    await page.getByRole("button", { name: "Run", exact: true }).click();
    expect(await waves).toEqual(["oracle", "pop-os"]);
    const run = page.locator(".rail-runs a").first();
    await run.getByText("succeeded").waitFor();
    await run.getByText("oracle → pop-os → oracle").waitFor();
    await page.getByText("cross-node-smoke · remote succeeded on pop-os").waitFor();

    await run.click();
    for (const step of ["local", "remote", "check"]) {
      await page.getByRole("heading", { name: step }).waitFor();
    }
    await page.getByRole("tab", { name: "events" }).click();
    await page.getByText("run.finished").waitFor();
    await page.getByRole("tab", { name: "logs" }).click();
    await page.getByText("local step").waitFor();
  });

  test("shows why a step waits on the map, in the queue and on its run's page, and can cancel it", async () => {
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
    await page.getByRole("region", { name: "Waiting" }).getByText(reason).waitFor();
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

  test("repeats the failed steps of a run, and not the successful ones", async () => {
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
    await page.goto(system.url);
    await page.getByText("3 of 3 nodes online").waitFor();
  });

  test("goes back through past events, and returns to now", async () => {
    await page.getByRole("slider", { name: "Moment" }).focus();
    await page.keyboard.press("Home");
    await page.getByText("1 of 3 nodes online").waitFor();
    await page.getByRole("button", { name: "Back to now" }).click();
    await page.getByText("3 of 3 nodes online").waitFor();
  });

  test("continues its replay during many events", async () => {
    const hub = createHubClient(system);
    const stop = new AbortController();
    const steering = (async () => {
      while (!stop.signal.aborted) {
        await hub.pauseStrand("needs-laser");
        await hub.resumeStrand("needs-laser");
      }
    })();
    onTestFinished(() => {
      stop.abort();
      return steering;
    });
    const slider = page.getByRole("slider", { name: "Moment" });
    await slider.focus();
    await page.keyboard.press("Home");
    await page.getByText("1 of 3 nodes online").waitFor();
    const pastMs =
      Number(await slider.getAttribute("max")) - Number(await slider.getAttribute("min"));
    const beganAt = performance.now();
    await page.getByLabel("Speed").selectOption("16");
    await page.getByRole("button", { name: "Back to now" }).waitFor({ state: "hidden" });
    // A busy machine manages more than a fourth of 16×; a replay that stalls does not.
    expect(performance.now() - beganAt).toBeLessThan(pastMs / 4);
    await page.getByText("3 of 3 nodes online").waitFor();
  });

  test("also goes back to events before it was opened, and does not show them as current", async () => {
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

  test("keeps its state while the hub is unreachable, reports that, and continues when the hub is back", async () => {
    await page.goto(system.url);
    await page.getByRole("link", { name: /^pop-os, online/ }).waitFor();
    await system.killHub();
    await page.getByText("reconnecting").waitFor();
    await page.getByRole("link", { name: /^pop-os, online/ }).waitFor();
    await system.startHub();
    await page.getByText("live", { exact: true }).waitFor();
  });
});
