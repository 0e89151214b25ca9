import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { buildDashboard } from "@loom/dashboard/build";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { browserPath, canBrowse, openBrowser } from "./support/browser.ts";
import { createNamespace, namespacesMissing } from "./support/namespaces.ts";

const HUB = "100.64.0.1";

const missing = await namespacesMissing();
if (missing && process.env.CI) throw new Error(`no network namespaces here: ${missing}`);
const canRun = missing === undefined && canBrowse;

// A network of its own, where the hub has an address of the tailnet, and a browser beside it.
describe.skipIf(!canRun)("the dashboard, in a browser of the tailnet", () => {
  const stack = new AsyncDisposableStack();
  let page: Page;
  let url: string;

  beforeAll(async () => {
    await buildDashboard();
    const network = stack.use(await createNamespace());
    await network.ip(`addr add ${HUB}/32 dev lo`);
    const listening = Promise.withResolvers<string>();
    const hub = await network.start(
      new URL("tailnet/dashboard-hub.ts", import.meta.url),
      { address: HUB },
      listening.resolve,
    );
    stack.defer(async () => void (await hub.stop()));
    url = await listening.promise;
    const browser = await openBrowserIn(network.pid);
    stack.defer(() => browser.close());
    page = await browser.newPage();
  });
  afterAll(() => stack.disposeAsync());

  test("admits users that Tailscale knows, without a token and with their own permissions", async () => {
    await page.goto(url);
    await page.getByText("live", { exact: true }).waitFor();
    expect(await page.getByLabel("Token").count()).toBe(0);
    await page.goto(`${url}/settings`);
    await page.getByText("ada@example.org, with the scopes read, run").waitFor();
    await page.goto(`${url}/nodes/forge`);
    await page.getByRole("heading", { name: "forge online" }).waitFor();
    expect(await page.getByRole("button", { name: "Pause node" }).count()).toBe(0);
  });

  test("shows the tailnet's machines and paths, and measures a path on request", async () => {
    await page.keyboard.press("g");
    await page.keyboard.press("m");
    await page.getByRole("row", { name: /^forge the hub's online/ }).waitFor();
    const anvil = page.getByRole("row", { name: /^anvil/ });
    await anvil.getByText("relayed by fra").waitFor();
    await page.getByRole("button", { name: "Measure round trips" }).click();
    await anvil.getByText("12 ms").waitFor();
    await anvil.getByText("direct, 192.168.7.2:41641").waitFor();
  });

  /** A browser that sees the network of that process, and no other; it is spoken to by a pipe. */
  async function openBrowserIn(pid: number): Promise<Browser> {
    const folder = await mkdtemp(path.join(tmpdir(), "loom-browser-"));
    stack.defer(() => rm(folder, { recursive: true }));
    const command = path.join(folder, "browser");
    await writeFile(
      command,
      `#!/bin/sh\nexec nsenter --target ${pid} --net "${browserPath}" "$@"\n`,
    );
    await chmod(command, 0o755);
    return openBrowser(command);
  }
});
