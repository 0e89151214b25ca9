import { describe, expect, test } from "vitest";
import { createScrubber, secretsOf } from "./secrets.ts";

describe("secretsOf", () => {
  test.for([
    { name: "API_TOKEN", isSecret: true },
    { name: "AWS_SECRET_ACCESS_KEY", isSecret: true },
    { name: "DB_PASSWORD", isSecret: true },
    { name: "github_pat", isSecret: true },
    { name: "OPENAI_API_KEY", isSecret: true },
    { name: "PATH", isSecret: false },
    { name: "PWD", isSecret: false },
    { name: "KEYBOARD", isSecret: false },
    { name: "REGISTRY_AUTH", isSecret: true },
    { name: "SSH_AUTH_SOCK", isSecret: false },
    { name: "TOKENIZERS_PARALLELISM", isSecret: false },
  ])("$name: $isSecret", ({ name, isSecret }) => {
    expect(secretsOf({ [name]: "the-value" })).toEqual(isSecret ? ["the-value"] : []);
  });

  test("finds passwords in addresses", () => {
    expect(secretsOf({ CACHE: "redis://user:p%40ssword@host:6379/0" })).toEqual([
      "p%2540ssword",
      "p%40ssword",
      "p@ssword",
    ]);
  });

  test("hides values as written in JSON and in a URL, but not short ones", () => {
    const value = 'a "quoted"\nkey';
    expect(secretsOf({ MY_KEY: value, PIN_PASS: "12345", NO_KEY: undefined })).toEqual(
      expect.arrayContaining([value, 'a \\"quoted\\"\\nkey', "a%20%22quoted%22%0Akey"]),
    );
    expect(secretsOf({ PIN_PASS: "12345" })).toEqual([]);
  });

  test.for([
    { title: "line breaks", lineBreak: "\n" },
    { title: "line breaks of Windows", lineBreak: "\r\n" },
    { title: "line breaks as .env files write them", lineBreak: "\\n" },
  ])("knows each line of a value with $title", ({ lineBreak }) => {
    const lines = ["MIIEvQIBADANBgkqhkiG9w0B", "  AQEFAASCBKcwggSjAgEAAoIB", "q2=="];
    const pem = ["-----BEGIN PRIVATE KEY-----", ...lines, "-----END PRIVATE KEY-----", ""];
    const secrets = secretsOf({ TLS_KEY: pem.join(lineBreak) });
    const { scrub } = createScrubber(secrets);
    // As a program prints it that reads it line by line.
    for (const line of lines.slice(0, 2)) expect(scrub(`> ${line.trim()}\n`)).toBe("> ***\n");
    expect(scrub("-----BEGIN PRIVATE KEY-----")).toBe("-----BEGIN PRIVATE KEY-----");
    expect(scrub("q2== is short")).toBe("q2== is short");
  });
});

describe("createScrubber", () => {
  test("changes nothing when there is no secret", () => {
    const { scrub, stream } = createScrubber([]);
    expect(scrub("text $^ {}")).toBe("text $^ {}");
    // Regression: the pattern for no secrets found one in the empty text.
    expect(scrub("")).toBe("");
    expect(stream().push("") + stream().end()).toBe("");
  });

  test("takes a secret literally", () => {
    expect(createScrubber(["a.c+(d)"]).scrub("abc+(d) a.c+(d)")).toBe("abc+(d) ***");
  });

  test("hides the longest of several secrets with the same beginning, however the text is cut", () => {
    const { stream } = createScrubber(["secret-long", "secret"]);
    const { push, end } = stream();
    expect(push("secret") + push("-lo") + push("ng secret") + push("s") + end()).toBe("*** ***s");
  });

  test("does not hold back text that cannot be the beginning of a secret", () => {
    const { push } = createScrubber(["secret"]).stream();
    expect(push("building …\n")).toBe("building …\n");
    expect(push("a sec")).toBe("a ");
    expect(push("ond")).toBe("second");
  });

  // Cut anywhere, a stream gives what the whole text gives.
  test("hides the same in every cut of a text", () => {
    const secrets = ["abcabd", "cabd-x", "zzzzzz"];
    const { scrub, stream } = createScrubber(secrets);
    const text = "ab abcabd abcab cabd-x zzzzzzz abcabcabd zzzzz abcabd";
    for (let first = 0; first <= text.length; first += 1) {
      for (let second = first; second <= text.length; second += 1) {
        const { push, end } = stream();
        const parts = [text.slice(0, first), text.slice(first, second), text.slice(second)];
        expect(parts.map(push).join("") + end()).toBe(scrub(text));
      }
    }
  });
});
