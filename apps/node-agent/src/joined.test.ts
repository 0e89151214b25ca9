import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { forgetJoined, keepJoined, nextKey, readJoined, readJoinedKey } from "./joined.ts";

const JOINED = {
  node: "tower",
  hub: { id: "5e1f0c5a-0000-4000-8000-000000000001", url: "http://100.64.0.1:3000" },
  database: { url: "http://100.64.0.1:3000", publishableKey: "a-key" },
  codeKey: null,
};

function makeFolder(): { folder: string; outside: string } {
  const root = mkdtempSync(path.join(tmpdir(), "loom-joined-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  const folder = path.join(root, "state");
  mkdirSync(folder);
  return { folder, outside: path.join(root, "outside") };
}

test("what a join leaves is readable by its owner only, and leaving removes it", () => {
  const { folder } = makeFolder();
  const key = nextKey(folder);
  expect(nextKey(folder)).toBe(key);
  keepJoined(folder, JOINED);
  expect([readJoinedKey(folder), readJoined(folder)]).toEqual([key, JOINED]);
  for (const name of readdirSync(folder)) {
    expect(statSync(path.join(folder, name)).mode & 0o077, name).toBe(0);
  }
  forgetJoined(folder);
  expect(readdirSync(folder)).toEqual([]);
});

test("a link that somebody left in the folder leads no secret out of it", () => {
  const { folder, outside } = makeFolder();
  writeFileSync(outside, "mine");
  for (const name of ["hub.json", "node-key", "node-key.next"]) {
    for (const suffix of [`.${process.pid}.part`, ".part"]) {
      symlinkSync(outside, path.join(folder, `${name}${suffix}`));
    }
  }
  symlinkSync(outside, path.join(folder, "hub.json"));
  symlinkSync(outside, path.join(folder, "node-key.next"));
  nextKey(folder);
  keepJoined(folder, JOINED);
  expect(readFileSync(outside, "utf8")).toBe("mine");
  expect(readJoined(folder)).toEqual(JOINED);
});
