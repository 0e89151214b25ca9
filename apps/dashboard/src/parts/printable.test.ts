import { expect, test } from "vitest";
import { toPrintable } from "./printable.ts";

test.for([
  { text: "plain\ttext\n", shown: "plain\ttext\n" },
  { text: "\u001b[1;31mred\u001b[0m", shown: "red" },
  { text: "\u009b31mred\u009b0m", shown: "red" },
  { text: "\u001b[2J\u001b[H\u001b]0;title\u0007here", shown: "here" },
  {
    text: "\u001b]8;;https://evil.example\u001b\\link\u001b]8;;\u001b\\",
    shown: "link",
  },
  { text: "a\u001b", shown: "a⟨U+001B⟩" },
  { text: "\u001b[31", shown: "⟨U+001B⟩[31" },
  { text: "10 %\r20 %\r\ndone", shown: "10 %\n20 %\ndone" },
  { text: "a\u0000b\u0008c\u0085d", shown: "a⟨U+0000⟩b⟨U+0008⟩c⟨U+0085⟩d" },
  { text: "safe\u202Egnp.exe\u2066x\u2069", shown: "safe⟨U+202E⟩gnp.exe⟨U+2066⟩x⟨U+2069⟩" },
  { text: "שלום Küche 台所 🧵 👩‍💻", shown: "שלום Küche 台所 🧵 👩‍💻" },
])("shows $text as what is there", ({ text, shown }) => {
  expect(toPrintable(text)).toBe(shown);
});

test.for(["\u001b[", "\u001b]", "\u001b[0;", "\u009d", "\u001b]x\u001b"])(
  "takes a time that grows with the text: %j",
  (part) => {
    const startedAt = performance.now();
    toPrintable(part.repeat(100_000));
    expect(performance.now() - startedAt).toBeLessThan(1_000);
  },
);
