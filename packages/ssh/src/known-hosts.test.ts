import { spawnSync } from "node:child_process";
import { createHmac } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hostAndPort, namesHost, parseKnownHosts } from "./known-hosts.ts";

const KEY = "AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
const LINE = `pop-os ssh-ed25519 ${KEY}`;

describe("parseKnownHosts", () => {
  test("reads valid lines, and skips the rest as ssh does", () => {
    const text = [
      "# a comment",
      "",
      LINE,
      `@revoked * ssh-ed25519 ${KEY}`,
      `@revoked\tpop-os ssh-ed25519 ${KEY}`,
      `@cert-authority *.example ssh-ed25519 ${KEY}`,
      "nonsense",
      `  indented\tssh-ed25519\t${KEY} me@here`,
    ].join("\n");
    expect(parseKnownHosts(text).map(({ hosts, marker }) => [hosts, marker])).toEqual([
      ["pop-os", null],
      ["*", "revoked"],
      ["pop-os", "revoked"],
      ["indented", null],
    ]);
  });

  test.for([
    ["Windows ends it", `${LINE}\r`],
    ["it has a Windows line ending after a comment", `${LINE} me@here\r`],
    ["a # begins its comment", `${LINE} # me`],
  ])("reads a line when %s", ([, line = ""]) => {
    expect(parseKnownHosts(line).map(({ key }) => key.toString("base64"))).toEqual([KEY]);
  });

  test.for([
    ["its key is cut off", LINE.slice(0, -7)],
    ["its key is too short", "pop-os ssh-ed25519 AAAA"],
    ["its key is of another kind", LINE.replace("ssh-ed25519", "ssh-rsa")],
    ["it has no key", "pop-os ssh-ed25519 # none"],
    ["it has two markers", `@revoked @revoked ${LINE}`],
  ])("skips a line when %s, and reads the next", ([, line = ""]) => {
    expect(parseKnownHosts(`${line}\n${LINE}\n`)).toHaveLength(1);
  });
});

describe("namesHost", () => {
  test.for([
    ["pop-os", "pop-os", true],
    ["pop-os", "POP-OS", true],
    ["pop-os", "pop-os-1", false],
    ["100.64.0.7,pop-os", "pop-os", true],
    ["pop-*", "pop-os", true],
    ["pop-?s", "pop-os", true],
    ["*", "pop-os", true],
    ["*,!pop-os", "pop-os", false],
    ["!pop-os", "forge", false],
    ["pop.os", "popxos", false],
    ["[pop-os]:2222", "[pop-os]:2222", true],
    ["[pop-os]:2222", "pop-os", false],
    ["[op]", "o", false],
    // ssh-keygen -H of "pop-os", OpenSSH 9.2.
    ["|1|0pyapUR3He3XHLa1fYlJgm/HGmM=|37hP8Tkxp7UFrxu3Kq/p4wBRauA=", "pop-os", true],
    ["|1|0pyapUR3He3XHLa1fYlJgm/HGmM=|37hP8Tkxp7UFrxu3Kq/p4wBRauA=", "pop-os-1", false],
    ["|2|0pyapUR3He3XHLa1fYlJgm/HGmM=|37hP8Tkxp7UFrxu3Kq/p4wBRauA=", "pop-os", false],
  ] as const)("%s is about %s: %s", ([hosts, name, expected]) => {
    expect(namesHost({ hosts }, name)).toBe(expected);
  });

  test("ignores a list with an overlong pattern", () => {
    expect(namesHost({ hosts: `pop-os,${"x".repeat(1_023)}` }, "pop-os")).toBe(false);
  });

  test("matches a pattern of many stars quickly", () => {
    const begun = performance.now();
    expect(namesHost({ hosts: `${"*a".repeat(500)}b` }, "a".repeat(5_000))).toBe(false);
    expect(performance.now() - begun).toBeLessThan(1_000);
  });
});

test("hostAndPort returns the name that ssh looks for", () => {
  expect(hostAndPort("pop-os", 22)).toBe("pop-os");
  expect(hostAndPort("pop-os", 2222)).toBe("[pop-os]:2222");
});

const missing = spawnSync("ssh-keygen", ["-?"]).error ? "there is no ssh-keygen" : null;
if (missing !== null && process.env.CI) throw new Error(missing);

describe.skipIf(missing !== null)(`beside ssh-keygen (${missing ?? "installed"})`, () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(path.join(tmpdir(), "loom-known-hosts-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const hashed = (name: string) => {
    const salt = Buffer.alloc(20, name);
    return `|1|${salt.toString("base64")}|${createHmac("sha1", salt).update(name).digest("base64")}`;
  };
  const hosts = fc.oneof(
    fc
      .array(
        fc.oneof(
          fc.constantFrom("pop-os", "POP-OS", "!pop-os", "forge", "[pop-os]:2222", "10.0.0.7", ""),
          fc.string({ unit: fc.constantFrom(..."popos-*?!.[]:2"), maxLength: 9 }),
        ),
        { minLength: 1, maxLength: 3 },
      )
      .map((patterns) => patterns.join(","))
      .filter((text) => !/^[#@|]/.test(text)),
    fc.constantFrom(
      hashed("pop-os"),
      hashed("forge"),
      hashed("[pop-os]:2222"),
      "|1|a|b",
      "|1|",
      "|2|a|b",
    ),
  );
  const line = fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .record({
          indent: fc.constantFrom("", " ", "\t"),
          marker: fc.constantFrom("", "", "", "@revoked ", "@cert-authority ", "@other ", "@ "),
          hosts,
          blank: fc.constantFrom(" ", "\t", " \t "),
          type: fc.constantFrom("ssh-ed25519", "ssh-ed25519", "ssh-ed25519", "ssh-rsa", "nonsense"),
          key: fc.constantFrom(
            KEY,
            KEY,
            KEY,
            KEY.slice(0, -8),
            KEY.slice(0, -1),
            `${KEY}=`,
            "#",
            "",
          ),
          end: fc.constantFrom("", " me", " me\r", "\r", " # me", "\tme", " "),
        })
        .map((part) =>
          [
            part.indent,
            part.marker,
            part.hosts,
            part.blank,
            part.type,
            part.blank,
            part.key,
            part.end,
          ].join(""),
        ),
    },
    {
      weight: 1,
      arbitrary: fc.constantFrom("", "\r", "# pop-os", "  # pop-os", "pop-os", "@revoked"),
    },
  );

  test("finds the same lines for a name, with and without a port", { timeout: 30_000 }, () => {
    const file = path.join(folder, "known_hosts");
    fc.assert(
      fc.property(
        fc.array(line, { minLength: 1, maxLength: 12 }),
        fc.constantFrom("pop-os", "[pop-os]:2222", "forge"),
        (lines, name) => {
          writeFileSync(file, `${lines.join("\n")}\n`);
          const { stdout } = spawnSync("ssh-keygen", ["-l", "-F", name, "-f", file], {
            encoding: "utf8",
          });
          const theirs = [...stdout.matchAll(/^# Host .* found: line (\d+) ?(\w*)/gm)]
            .filter(([, , marker]) => marker !== "CA")
            .map(([, number, marker]) => [Number(number), marker === "REVOKED" ? "revoked" : null]);
          const ours = lines.flatMap((text, index) =>
            parseKnownHosts(text)
              .filter((known) => namesHost(known, name))
              .map(({ marker }) => [index + 1, marker]),
          );
          expect(ours).toEqual(theirs);
        },
      ),
      { numRuns: 300 },
    );
  });
});
