import { createHubClient } from "@loom/client";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { canBrowse } from "./support/browser.ts";
import { type Dashboard, logIn, openDashboard } from "./support/dashboard.ts";

const TABS = 8;

describe.skipIf(!canBrowse)("many tabs of one browser (Chromium, or CHROMIUM_BIN)", () => {
  let dashboard: Dashboard;
  const pages: Page[] = [];

  beforeAll(async () => {
    dashboard = await openDashboard();
    const { system, page } = dashboard;
    await logIn(page, system);
    await page.getByText("live", { exact: true }).waitFor();
    pages.push(page);
  });
  afterAll(() => dashboard?.close());

  /** How many listen to the hub's events, besides what counts them. */
  async function openStreams(): Promise<number> {
    const { url, token } = dashboard.system;
    const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
    const [, count] = /^loom_event_listeners (\d+)$/m.exec(await answer.text()) ?? [];
    return Number(count) - 1;
  }

  /** Tells a tab whether another one is in front of it: a browser under test shows all of them. */
  const show = (page: Page, isShown: boolean) =>
    page.evaluate(`(() => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => ${!isShown} });
      document.dispatchEvent(new Event("visibilitychange"));
    })()`);

  test("share one stream, and each gets its answers and all events", async () => {
    const { system, page } = dashboard;
    const { body } = await system.call("POST", "/strands/needs-laser/run", {
      input: {},
      allowUnsatisfiable: true,
    });
    const output = `${system.url}/runs/${String(body.runId)}?tab=logs`;
    while (pages.length < TABS) {
      const tab = await page.context().newPage();
      // Half of them follow a step's output, too.
      await tab.goto(pages.length % 2 === 0 ? system.url : output);
      await tab.getByText("live", { exact: true }).waitFor({ timeout: 15_000 });
      pages.push(tab);
    }
    await expect.poll(openStreams).toBe(1);
    for (const [number, tab] of pages.entries()) {
      await tab.goto(`${system.url}/nodes`);
      await tab.getByRole("heading", { name: "Nodes" }).waitFor();
      await tab.getByRole("link", { name: "pop-os" }).first().waitFor({ timeout: 15_000 });
      expect(await openStreams(), `with tab ${number}`).toBe(1);
    }
    await system.call("POST", "/nodes/pop-os/pause", {});
    for (const tab of pages) await tab.locator(".badge-paused").waitFor();
    await system.call("POST", "/nodes/pop-os/resume", {});
  });

  test("close it when no tab is visible, and open it again when one is", async () => {
    const [first, ...others] = pages;
    for (const tab of others) await show(tab, false);
    await first?.getByText("live", { exact: true }).waitFor();
    await expect.poll(openStreams).toBe(1);
    if (first) await show(first, false);
    await expect.poll(openStreams).toBe(0);

    const { system } = dashboard;
    const stop = new AbortController();
    const events = createHubClient(system).streamEvents({ signal: stop.signal });
    const isSent = (async () => {
      for await (const { event } of events) if (event === "node.paused") return;
    })();
    await expect.poll(openStreams).toBe(1);
    await system.call("POST", "/nodes/pop-os/pause", {});
    // The hub has sent the event: for a stream that is opened now it is past.
    await isSent;
    stop.abort();
    await expect.poll(openStreams).toBe(0);
    const last = others.at(-1);
    if (last) await show(last, true);
    // The page shows the events that happened while no tab was visible.
    await last?.locator(".badge-paused").waitFor();
    expect(await openStreams()).toBe(1);
    await system.call("POST", "/nodes/pop-os/resume", {});
  });
});
