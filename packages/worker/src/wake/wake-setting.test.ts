import { describe, expect, test } from "vitest";
import { parseWakeSetting } from "./server.ts";

describe("parseWakeSetting", () => {
  test.for([
    { text: "off", setting: "off" },
    { text: "100.64.0.7", setting: { address: "100.64.0.7", port: 0 } },
    { text: "100.64.0.7:7421", setting: { address: "100.64.0.7", port: 7_421 } },
    { text: "fd7a:115c:a1e0::7", setting: { address: "fd7a:115c:a1e0::7", port: 0 } },
    { text: "[fd7a:115c:a1e0::7]:7421", setting: { address: "fd7a:115c:a1e0::7", port: 7_421 } },
    { text: ":7421", setting: { address: undefined, port: 7_421 } },
    { text: "127.0.0.1:0", setting: { address: "127.0.0.1", port: 0 } },
  ])("reads $text", ({ text, setting }) => {
    expect(parseWakeSetting(text)).toEqual(setting);
  });

  test.for([
    "",
    "on",
    "7421",
    ":",
    ":65536",
    "0.0.0.0:7421",
    "192.168.7.10",
    "forge:7421",
    "[::]:1",
  ])("does not know what '%s' means", (text) => {
    expect(parseWakeSetting(text)).toBeUndefined();
  });
});
