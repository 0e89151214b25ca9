import { homedir } from "node:os";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { readSshAccess } from "./access.ts";

describe("readSshAccess", () => {
  test("uses its own key when the variables are unset or blank", () => {
    const keyFile = path.join(homedir(), ".ssh", "id_popos-deploy");
    expect(readSshAccess({})).toMatchObject({ keyFile });
    expect(readSshAccess({ LOOM_SSH_KEY: " " })).toMatchObject({ keyFile });
    expect(readSshAccess({ LOOM_SSH_KEY: "/keys/deploy" })).toMatchObject({
      keyFile: "/keys/deploy",
    });
  });

  test("reports all problems at once", () => {
    expect(() => readSshAccess({ LOOM_SSH_PORT: "ssh", LOOM_SSH_ADDRESSES: "pop-os" })).toThrow(
      /LOOM_SSH_PORT: .*; LOOM_SSH_ADDRESSES: write it as/,
    );
  });
});
