import { describe, expect, test } from "vitest";
import { magicDns } from "./magic-dns.ts";
import { type NameAnswer, startFakeNameServer } from "./testing/fake-name-server.ts";

const anvil = "anvil.moss-lantern.ts.net";
const serve = (answer: NameAnswer) => startFakeNameServer({ [anvil]: answer });

describe("magicDns", () => {
  test("asks the server for the address", async () => {
    await using fake = await serve("100.70.0.2");
    expect(await magicDns({ server: fake.server }).lookup(anvil)).toBe("100.70.0.2");
    expect(fake.asked).toEqual([anvil]);
  });

  test("does not ask the system's resolver, which would find localhost in the hosts file", async () => {
    await using fake = await startFakeNameServer({ localhost: "100.70.0.9" });
    expect(await magicDns({ server: fake.server }).lookup("localhost")).toBe("100.70.0.9");
  });

  test.for<{ answer: NameAnswer; code: string; says: RegExp }>([
    { answer: "NXDOMAIN", code: "BAD_RESPONSE", says: /knows no IPv4 address .*ENOTFOUND/ },
    { answer: "NODATA", code: "BAD_RESPONSE", says: /knows no IPv4 address .*ENODATA/ },
    { answer: "SERVFAIL", code: "BAD_RESPONSE", says: /could not answer .*ESERVFAIL/ },
    { answer: "192.168.7.2", code: "BAD_RESPONSE", says: /192\.168\.7\.2, which is no tailnet/ },
    { answer: "100.115.92.7", code: "BAD_RESPONSE", says: /which is no tailnet/ },
  ])("refuses the answer $answer", async ({ answer, code, says }) => {
    await using fake = await serve(answer);
    const lookup = magicDns({ server: fake.server, timeoutMs: 5_000 }).lookup(anvil);
    await expect(lookup).rejects.toMatchObject({
      code,
      source: "magic-dns",
      message: expect.stringMatching(says),
    });
    expect(fake.asked).toEqual([anvil]);
  });

  test("takes silence for an answer after its timeout, before c-ares would", async () => {
    await using fake = await serve("SILENCE");
    const lookup = magicDns({ server: fake.server, timeoutMs: 50 }).lookup(anvil);
    await expect(lookup).rejects.toMatchObject({
      code: "DAEMON_HUNG",
      message: expect.stringContaining("did not answer"),
      cause: { code: "ECANCELLED" },
    });
  });

  test("says so when nobody listens there", async () => {
    const { server } = await (async () => {
      await using closed = await serve("NODATA");
      return closed;
    })();
    await expect(magicDns({ server }).lookup(anvil)).rejects.toMatchObject({
      code: "DAEMON_ABSENT",
    });
  });

  test("can be called off, before and after it asks", async () => {
    await using fake = await serve("SILENCE");
    const { lookup } = magicDns({ server: fake.server, timeoutMs: 60_000 });
    const gone = AbortSignal.abort(new Error("gone"));
    await expect(lookup(anvil, { signal: gone })).rejects.toThrow("gone");
    expect(fake.asked).toEqual([]);

    const stop = new AbortController();
    const answer = expect(lookup(anvil, { signal: stop.signal })).rejects.toThrow("called off");
    await expect.poll(() => fake.asked).toEqual([anvil]);
    stop.abort(new Error("called off"));
    await answer;
  });

  test.for([{ server: "dns.example" }, { server: "" }, { timeoutMs: 0 }])(
    "refuses %j when it is created",
    (options) => {
      expect(() => magicDns(options)).toThrow();
    },
  );
});
