import { describe, expect, test } from "vitest";
import { ownName } from "./own-name.ts";
import { parseStatus } from "./parse-status.ts";
import { staticSource } from "./sources/static.ts";
import { loggedOut, sampleStatus, toJson } from "./testing/sample-status.ts";

const sourceOf = (document: object) => ({
  name: "fixed",
  read: async () => parseStatus(toJson(document), "fixed"),
});

describe("ownName", () => {
  test("is this machine's label in the tailnet", async () => {
    expect(await ownName(sourceOf(sampleStatus()))).toBe("forge");
  });

  test("holds while the daemon starts or is stopped", async () => {
    expect(await ownName(sourceOf(sampleStatus({ BackendState: "Starting" })))).toBe("forge");
    expect(await ownName(sourceOf(sampleStatus({ BackendState: "Stopped" })))).toBe("forge");
  });

  test("is the first label also when the daemon does not tell the tailnet's suffix", async () => {
    const withoutSuffix = { CurrentTailnet: null, MagicDNSSuffix: "" };
    expect(await ownName(sourceOf(sampleStatus(withoutSuffix)))).toBe("forge");
  });

  test("is unknown before the first login", async () => {
    await expect(ownName(sourceOf(loggedOut()))).rejects.toMatchObject({
      code: "NOT_RUNNING",
      state: "NeedsLogin",
    });
  });

  test("is unknown to a list that does not name this machine", async () => {
    await expect(ownName(staticSource({ forge: "10.0.0.1" }))).rejects.toMatchObject({
      code: "NO_SELF",
      source: "static",
    });
  });
});
