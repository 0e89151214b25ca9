import { expect, test } from "vitest";
import { describeItems, describeSize } from "./describe.ts";

test.for([
  { total: null, succeeded: 0, failed: 0, cancelled: 0, text: "×?" },
  { total: 48, succeeded: 48, failed: 0, cancelled: 0, text: "×48" },
  { total: 48, succeeded: 45, failed: 3, cancelled: 0, text: "×48 (3 failed)" },
  {
    total: 48,
    succeeded: 5,
    failed: 3,
    cancelled: 1,
    text: "×48 (39 open, 3 failed, 1 cancelled)",
  },
  { total: 0, succeeded: 0, failed: 0, cancelled: 0, text: "×0" },
])("items are described as $text", ({ text, ...counts }) => {
  expect(describeItems({ made: 0, ...counts })).toBe(text);
});

test.for([
  [0, "0 B"],
  [1_023, "1023 B"],
  [1_536, "1.5 KiB"],
  [2 ** 20 * 150, "150 MiB"],
  [2 ** 42, "4096 GiB"],
] as const)("%i bytes are %s", ([bytes, text]) => {
  expect(describeSize(bytes)).toBe(text);
});
