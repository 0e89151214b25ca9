import { describe, expect, test } from "vitest";
import { parseStatus } from "./parse-status.ts";
import { ownIdentity } from "./source.ts";
import { staticSource } from "./sources/static.ts";
import { loggedOut, sampleStatus, toJson } from "./testing/sample-status.ts";

const FORGE = { name: "forge", id: sampleStatus().Self.ID };

const sourceOf = (document: object) => ({
  name: "fixed",
  read: async () => parseStatus(toJson(document), "fixed"),
});

describe("ownIdentity", () => {
  test("is this machine's label in the tailnet", async () => {
    expect(await ownIdentity(sourceOf(sampleStatus()))).toEqual(FORGE);
  });

  test("stays the same while the daemon starts or is stopped", async () => {
    expect(await ownIdentity(sourceOf(sampleStatus({ BackendState: "Starting" })))).toEqual(FORGE);
    expect(await ownIdentity(sourceOf(sampleStatus({ BackendState: "Stopped" })))).toEqual(FORGE);
  });

  test("is the first label also when the daemon does not report the tailnet's suffix", async () => {
    const withoutSuffix = { CurrentTailnet: null, MagicDNSSuffix: "" };
    expect(await ownIdentity(sourceOf(sampleStatus(withoutSuffix)))).toEqual(FORGE);
  });

  test("is unknown before the first login", async () => {
    await expect(ownIdentity(sourceOf(loggedOut()))).rejects.toMatchObject({
      code: "NOT_RUNNING",
      state: "NeedsLogin",
    });
  });

  test("is unknown to a static source without this machine", async () => {
    await expect(ownIdentity(staticSource({ forge: "10.0.0.1" }))).rejects.toMatchObject({
      code: "NO_SELF",
      source: "static",
    });
  });
});
