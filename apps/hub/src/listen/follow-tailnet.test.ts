import { pino } from "pino";
import { expect, onTestFinished, test } from "vitest";
import { followTailnet, type TailnetSelf } from "./follow-tailnet.ts";
import { serve } from "./serve.ts";

/** Waits until something holds. */
const until = (check: () => Promise<boolean> | boolean) =>
  expect.poll(check, { interval: 10 }).toBe(true);

const answers = (url: string): Promise<boolean> =>
  fetch(url).then(
    ({ ok }) => ok,
    () => false,
  );

/** A server on 127.0.0.1 that follows a tailnet whose addresses are others of loopback. */
async function follow(first: () => TailnetSelf) {
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: "info" }, { write: (line) => void lines.push(JSON.parse(line)) });
  const server = await serve(() => new Response("here"), { bind: "127.0.0.1", port: 0, log });
  const stop = new AbortController();
  const state = { self: first };
  const opened: string[] = [];
  const done = followTailnet(
    {
      server,
      log,
      self: async () => state.self(),
      onOpen: ({ url, name }) => void opened.push(`${name} ${url}`),
      firstRetryMs: 5,
      checkEveryMs: 5,
    },
    { signal: stop.signal },
  );
  onTestFinished(async () => {
    stop.abort();
    await done;
    await server.close();
  });
  return { server, state, lines, opened, at: (ip: string) => `http://${ip}:${server.port}` };
}

const SELF = { fqdn: "pi.tail1234.ts.net", addresses: ["127.0.0.2", "127.0.0.3"] };

test("serves loopback at once, and the tailnet's addresses as soon as Tailscale runs", async () => {
  const { server, state, lines, opened, at } = await follow(() => {
    throw new Error("Tailscale is Stopped");
  });
  await until(() => lines.length > 0);
  expect(lines).toMatchObject([
    { msg: expect.stringContaining("waiting for Tailscale"), reason: "Tailscale is Stopped" },
  ]);
  expect(await answers(server.url)).toBe(true);
  expect(await answers(at("127.0.0.2"))).toBe(false);

  state.self = () => SELF;
  await until(() => opened.length > 0);
  expect(await Promise.all(SELF.addresses.map((ip) => answers(at(ip))))).toEqual([true, true]);
  expect(opened).toEqual([`pi.tail1234.ts.net http://pi.tail1234.ts.net:${server.port}`]);
  // One line for the wait, however often it asked, and one for its end.
  expect(lines.map(({ msg }) => msg)).toHaveLength(2);
});

test("follows a changed address, and stops listening on the old one", async () => {
  const { state, opened, at } = await follow(() => SELF);
  await until(() => opened.length === 1);
  state.self = () => ({ ...SELF, addresses: ["127.0.0.4"] });
  await until(() => opened.length === 2);
  expect(await answers(at("127.0.0.4"))).toBe(true);
  expect(await answers(at("127.0.0.2"))).toBe(false);
});

test("keeps its addresses while Tailscale does not answer", async () => {
  const { state, lines, opened, at } = await follow(() => SELF);
  await until(() => opened.length === 1);
  state.self = () => {
    throw new Error("no answer");
  };
  await until(() => lines.some(({ reason }) => reason === "no answer"));
  expect(await answers(at("127.0.0.2"))).toBe(true);
});

test("serves the other addresses, and retries one that the machine does not have yet", async () => {
  // 192.0.2.1 is nobody's: RFC 5737.
  const { lines, at } = await follow(() => ({ ...SELF, addresses: ["192.0.2.1", "127.0.0.5"] }));
  await until(() => lines.length > 0);
  expect(lines).toMatchObject([{ reason: expect.stringContaining("192.0.2.1") }]);
  expect(await answers(at("127.0.0.5"))).toBe(true);
});
