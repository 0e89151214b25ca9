import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { recordLog } from "../test/recorded-log.ts";
import { describeMachine, keepIdentity, type TailnetIdentity } from "./machine.ts";

describe("describeMachine", () => {
  test("has a name that can be a node's", () => {
    expect(describeMachine().name).toMatch(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/);
  });

  test("offers the machine's facts", () => {
    const { capabilities, facts } = describeMachine();
    expect(capabilities).toEqual([
      `os=${process.platform}`,
      expect.stringMatching(/^arch=\w+$/),
      `cpus=${facts.cpus}`,
      expect.stringMatching(/^memory-gb=\d+$/),
    ]);
  });
});

function makeFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-identity-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return path.join(folder, "state");
}

/** One start of an agent. */
async function start(
  folder: string,
  {
    name,
    tailnet,
    system = "one",
  }: { name?: string; tailnet?: TailnetIdentity; system?: string } = {},
) {
  const log = recordLog();
  const identity = await keepIdentity(folder, {
    name,
    tailnet: async () => tailnet,
    log,
    systemId: () => system,
  });
  return { name: identity.name, id: identity.machine().id, log, machine: identity.machine };
}

const kitchen = { name: "kitchen-pi", id: "nKitchen" };

describe("keepIdentity", () => {
  test("keeps the first name, whether or not the tailnet is up at a later start", async () => {
    const folder = makeFolder();
    const first = await start(folder);
    expect(first.name).toBe(describeMachine().name);
    expect(await start(folder, { tailnet: kitchen })).toMatchObject({
      name: first.name,
      id: first.id,
    });
    // The tailnet knows it by another name and id now, as after a new login.
    const again = { name: "kitchen-pi-1", id: "nKitchen1" };
    expect(await start(folder, { tailnet: again })).toMatchObject({
      name: first.name,
      id: first.id,
    });
  });

  test("takes its tailnet name at the first start, and keeps it without the tailnet", async () => {
    const folder = makeFolder();
    expect(await start(folder, { tailnet: kitchen })).toMatchObject({ name: "kitchen-pi" });
    expect(await start(folder)).toMatchObject({ name: "kitchen-pi" });
    expect(JSON.parse(readFileSync(path.join(folder, "machine.json"), "utf8"))).toMatchObject({
      name: "kitchen-pi",
      tailnetId: "nKitchen",
    });
  });

  test("uses a name that a person sets, and does not store it as its first name", async () => {
    const folder = makeFolder();
    expect(await start(folder, { name: "forge", tailnet: kitchen })).toMatchObject({
      name: "forge",
    });
    expect(await start(folder, { tailnet: kitchen })).toMatchObject({ name: "kitchen-pi" });
    expect(await start(folder, { name: "anvil" })).toMatchObject({ name: "anvil" });
    expect(await start(folder)).toMatchObject({ name: "kitchen-pi" });
  });

  test("gives a machine with a copied folder its own id and name", async () => {
    const folder = makeFolder();
    const original = await start(folder, { tailnet: kitchen });
    const copy = `${folder}-copy`;
    cpSync(folder, copy, { recursive: true });
    const attic = { name: "attic-pi", id: "nAttic" };
    const other = await start(copy, { tailnet: attic, system: "two" });
    expect(other.name).toBe("attic-pi");
    expect(other.id).not.toBe(original.id);
    expect(other.log.lines).toMatchObject([{ level: "warn", facts: { was: original.id } }]);
    expect(await start(copy, { system: "two" })).toMatchObject({ name: "attic-pi", id: other.id });
  });

  test("keeps its identity after a new installation if the tailnet knows the machine", async () => {
    const folder = makeFolder();
    const first = await start(folder, { tailnet: kitchen });
    expect(await start(folder, { tailnet: kitchen, system: "two" })).toMatchObject({
      name: "kitchen-pi",
      id: first.id,
    });
  });

  test("gives agents that start at once in one folder the same id", async () => {
    const folder = makeFolder();
    const starts = await Promise.all(Array.from({ length: 8 }, () => start(folder)));
    expect(new Set(starts.map(({ id }) => id)).size).toBe(1);
  });

  test.for(["", '{"id":', '{"id":"x"}', "null"])(
    "replaces a file that holds %j, and reports it",
    async (text) => {
      const folder = makeFolder();
      const first = await start(folder);
      writeFileSync(path.join(folder, "machine.json"), text);
      const { id, log } = await start(folder);
      expect(id).not.toBe(first.id);
      expect(log.lines).toMatchObject([{ level: "warn" }]);
      expect((await start(folder)).id).toBe(id);
    },
  );

  test("belongs to its user, and reports this boot and its duration", async () => {
    const folder = makeFolder();
    const { machine } = await start(folder);
    expect(statSync(path.join(folder, "machine.json")).mode & 0o777).toBe(0o600);
    expect(machine()).toMatchObject({ upMs: expect.any(Number), host: expect.any(String) });
    expect(machine().boot).toBe((await start(makeFolder())).machine().boot);
  });
});

test("a link in the folder leads no write out of it", async () => {
  const folder = makeFolder();
  const outside = `${folder}-outside`;
  mkdirSync(folder);
  writeFileSync(outside, "mine");
  symlinkSync(outside, path.join(folder, `machine.json.${process.pid}.part`));
  await start(folder);
  expect(readFileSync(outside, "utf8")).toBe("mine");
});
