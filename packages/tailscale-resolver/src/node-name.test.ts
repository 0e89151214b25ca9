import { describe, expect, test } from "vitest";
import { InvalidNameError } from "./errors.ts";
import { fullName, normaliseName, sanitiseHostName, shortName } from "./node-name.ts";

describe("normaliseName", () => {
  test.for([
    ["anvil", "anvil"],
    ["  Anvil \n", "anvil"],
    ["ANVIL.Moss-Lantern.ts.net.", "anvil.moss-lantern.ts.net"],
    ["7", "7"],
    ["Büro", "xn--bro-hoa"],
    ["100.70.0.2", "100.70.0.2"],
    ["FD7A:115C:A1E0::1:2", "FD7A:115C:A1E0::1:2"],
  ] as const)("turns %j into %j", ([input, name]) => {
    expect(normaliseName(input)).toBe(name);
  });

  test.for([
    "",
    "  ",
    ".",
    "two words",
    "a\tb",
    "ada@anvil",
    "anvil/path",
    "http://anvil",
    "a".repeat(254),
  ])("refuses %j", (input) => {
    expect(() => normaliseName(input)).toThrow(InvalidNameError);
  });
});

describe("shortName", () => {
  test.for([
    { title: "a node of our tailnet", fqdn: "anvil.a.ts.net", suffix: "a.ts.net", name: "anvil" },
    { title: "a foreign node", fqdn: "anvil.b.ts.net", suffix: "a.ts.net", name: "anvil.b.ts.net" },
    {
      title: "a suffix that ends alike",
      fqdn: "x.ba.ts.net",
      suffix: "a.ts.net",
      name: "x.ba.ts.net",
    },
    { title: "a deeper name", fqdn: "x.y.a.ts.net", suffix: "a.ts.net", name: "x.y.a.ts.net" },
    { title: "no suffix at all", fqdn: "anvil.a.ts.net", suffix: "", name: "anvil.a.ts.net" },
    { title: "a name equal to the suffix", fqdn: "forge", suffix: "forge", name: "forge" },
  ])("gives $title the short name $name", ({ fqdn, suffix, name }) => {
    expect(shortName(fqdn, suffix)).toBe(name);
  });
});

describe("fullName", () => {
  test.for([
    { name: "anvil", suffix: "a.ts.net", full: "anvil.a.ts.net" },
    { name: "anvil.b.ts.net", suffix: "a.ts.net", full: "anvil.b.ts.net" },
    { name: "anvil", suffix: "", full: undefined },
  ])("completes $name with the suffix $suffix", ({ name, suffix, full }) => {
    expect(fullName(name, suffix)).toBe(full);
  });
});

describe("sanitiseHostName", () => {
  test.for([
    ["Joe's Mac mini", "joes-mac-mini"],
    ["pop_os", "pop-os"],
    ["forge.local", "forge"],
    ["forge.local.lan", "forge-local"],
    ["--forge--", "forge"],
    ["我的电脑", ""],
    [`${"a".repeat(62)}éb`, "a".repeat(62)],
  ] as const)("turns %j into %j", ([hostName, label]) => {
    expect(sanitiseHostName(hostName)).toBe(label);
  });
});
