import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { faultsOf } from "./support/axe.ts";
import { canBrowse } from "./support/browser.ts";
import { type Dashboard, logIn, openDashboard } from "./support/dashboard.ts";
import type { System } from "./support/system.ts";

describe.skipIf(!canBrowse)("approvals, in a browser (Chromium, or CHROMIUM_BIN)", () => {
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

  /** Starts a run that asks about an order. */
  async function ask(order: string): Promise<string> {
    const { body } = await system.call("POST", "/strands/ship/run", { input: { order } });
    return String(body.runId);
  }
  const card = (order: string) => page.getByRole("article").filter({ hasText: order });

  test("counts what is to be decided, takes what is typed in, and says who approved", async () => {
    const runId = await ask("order 7");
    await page.getByRole("link", { name: "Approvals 1 to decide" }).click();
    const asked = card("order 7");
    await asked.getByRole("heading", { name: "Ship the order?" }).waitFor();
    await asked.getByText("950").waitFor();
    await asked.getByText(/to decide \(until .*\); then it fails/).waitFor();

    await asked.getByLabel("copies").fill("many");
    await asked.getByLabel("Note").fill("as we said");
    await asked.getByRole("button", { name: "Approve: Ship the order?" }).click();
    await asked.getByText("copies is a number, not “many”").waitFor();
    await asked.getByLabel("copies").fill("3");
    await asked.getByRole("button", { name: "Approve: Ship the order?" }).click();
    // The hub parses it, and its answer is at the field.
    await asked.getByRole("alert").waitFor();
    await asked.getByLabel("carrier").selectOption("bike");
    await asked.getByRole("button", { name: "Approve: Ship the order?" }).click();

    await page.getByRole("heading", { name: "Decided" }).waitFor();
    await card("order 7").getByText("approved").first().waitFor();
    await card("order 7").getByText("bootstrap token").waitFor();
    await card("order 7").getByText("as we said").waitFor();
    await page.getByRole("link", { name: "Approvals", exact: true }).waitFor();

    await card("order 7")
      .getByRole("link", { name: runId.slice(-6) })
      .click();
    await page.getByText("bootstrap token").first().waitFor();
    const refund = page.getByRole("article").filter({ hasText: "refund" });
    await refund.getByText("skipped").waitFor();
    await refund.getByText("it runs after a failure, and there was none").first().waitFor();
    await page.getByText(/^cool sleeps until .* from now$/).waitFor();
    await expect
      .poll(async () => {
        const { body } = await system.call("GET", `/runs/${runId}`);
        return (body.steps as { step: string; result: unknown }[]).find(
          ({ step }) => step === "send",
        )?.result;
      })
      .toEqual({ copies: 3, carrier: "bike" });
    await system.call("POST", `/runs/${runId}/cancel`);
  });

  test("rejects on the run's page, whose other branch runs then", async () => {
    const runId = await ask("order 8");
    await page.goto(`${system.url}/runs/${runId}`);
    await page.getByRole("button", { name: "Reject: Ship the order?" }).click();
    await page.getByText("rejected").first().waitFor();
    await page.getByRole("article").filter({ hasText: "refund" }).getByText("succeeded").waitFor();
    await system.call("POST", `/runs/${runId}/cancel`);
  });

  test("shows what was shown when somebody else decided first, and no buttons to who may not", async () => {
    const runId = await ask("order 9");
    await page.goto(`${system.url}/approvals`);
    await card("order 9").waitFor();
    const { body } = await system.call("GET", `/approvals?runId=${runId}`);
    const [{ id, digest } = {}] = body.data as { id?: number; digest?: string }[];
    await system.call("POST", `/approvals/${id}/decide`, { decision: "rejected", digest });
    await card("order 9").getByText("rejected").first().waitFor();
    expect(
      await card("order 9")
        .getByRole("button", { name: /^Approve/ })
        .count(),
    ).toBe(0);
    await system.call("POST", `/runs/${runId}/cancel`);
  });

  test("can be used by everybody: both themes, wide and narrow", async () => {
    const runId = await ask("order 10, which has a long name that goes on and on and on and on");
    const found: string[] = [];
    for (const width of [1440, 390]) {
      for (const colorScheme of ["light", "dark"] as const) {
        await page.setViewportSize({ width, height: 900 });
        await page.emulateMedia({ colorScheme });
        for (const [name, address] of [
          ["approvals", "/approvals"],
          ["run", `/runs/${runId}`],
        ] as const) {
          await page.goto(system.url + address);
          await card("order 10").first().waitFor();
          if (process.env.LOOM_PICTURES) {
            await page.screenshot({
              path: `${process.env.LOOM_PICTURES}/${name}-${width}-${colorScheme}.png`,
            });
          }
          const faults = await faultsOf(page);
          found.push(...faults.map((fault) => `${address} ${width} ${colorScheme}: ${fault}`));
          const overflow = await page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth",
          );
          expect(overflow).toBe(0);
        }
      }
    }
    expect(found).toEqual([]);
    await system.call("POST", `/runs/${runId}/cancel`);
  });
});
