import { buildDashboard } from "@loom/dashboard/build";
import type { Page } from "playwright-core";
import { openBrowser } from "./browser.ts";
import { type System, startSystem } from "./system.ts";

/** A system with an agent, pop-os, that has a GPU; and a page of a browser that was nowhere yet. */
export interface Dashboard {
  system: System;
  page: Page;
  close(): Promise<void>;
}

/** @param options - For the system. */
export async function openDashboard(
  options: Parameters<typeof startSystem>[0] = {},
): Promise<Dashboard> {
  await using stack = new AsyncDisposableStack();
  await buildDashboard();
  const system = await startSystem(options);
  stack.defer(system.stop);
  const browser = await openBrowser();
  stack.defer(() => browser.close());
  await system.startAgent("pop-os", ["has-gpu"]);
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const opened = stack.move();
  return { system, page, close: () => opened.disposeAsync() };
}

/** Opens a hub's page and sends its form of login. */
export async function logIn(
  page: Page,
  { url, token }: { url: string; token: string },
): Promise<void> {
  await page.goto(url);
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
}

/**
 * Watches the map's canvas, frame by frame, until a ring has been drawn around each of these nodes: a pulse.
 * Threads reach a node from a few sides; a ring is on all of them at once.
 *
 * @returns the nodes, in the order of the argument.
 */
export async function wavesAround(page: Page, nodes: readonly string[]): Promise<string[]> {
  const seen = await page.evaluate(`(${watch})(${JSON.stringify(nodes)})`);
  return nodes.filter((node) => (seen as string[]).includes(node));
}

/** How much of the pulses' canvas is not empty at this moment. */
export const paintedPixels = async (page: Page): Promise<unknown> =>
  page.evaluate(`(() => {
    const canvas = document.querySelector(".stage .pulses");
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    return data.filter((value, index) => index % 4 === 3 && value > 0).length;
  })()`);

/** Runs in the page. */
const watch = `(nodes) => new Promise((resolve) => {
  const canvas = document.querySelector(".stage .pulses");
  const context = canvas.getContext("2d");
  const scale = canvas.width / canvas.clientWidth;
  const frame = canvas.getBoundingClientRect();
  const centres = new Map(nodes.map((node) => {
    const body = document.querySelector('[aria-label^="' + node + ',"] .node-body').getBoundingClientRect();
    return [node, { x: body.x + body.width / 2 - frame.x, y: body.y + body.height / 2 - frame.y }];
  }));
  const seen = new Set();
  const reach = Math.ceil(66 * scale);
  // The pixels around a node are read at once: to read them one by one takes so long that a wave passes meanwhile.
  const pixelsAround = ({ x, y }) =>
    context.getImageData(Math.round(x * scale) - reach, Math.round(y * scale) - reach, 2 * reach + 1, 2 * reach + 1).data;
  const isWake = (pixels, radius) => {
    let sides = 0;
    for (let side = 0; side < 16; side += 1) {
      const angle = (side * Math.PI) / 8;
      const column = reach + Math.round(Math.cos(angle) * radius * scale);
      const row = reach + Math.round(Math.sin(angle) * radius * scale);
      if (pixels[(row * (2 * reach + 1) + column) * 4 + 3] > 40) sides += 1;
    }
    return sides >= 14;
  };
  const until = performance.now() + 20_000;
  const inspect = () => {
    for (const [node, centre] of centres) {
      const pixels = pixelsAround(centre);
      for (let radius = 38; radius < 66; radius += 1.5) if (isWake(pixels, radius)) seen.add(node);
    }
    if (seen.size === nodes.length || performance.now() > until) resolve([...seen]);
    else requestAnimationFrame(inspect);
  };
  inspect();
})`;
