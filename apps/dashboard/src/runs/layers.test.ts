import { expect, test } from "vitest";
import { directNeeds, layersOf } from "./layers.ts";

const step = (name: string, ...after: string[]) => ({ step: name, after });
const diamond = [
  step("fetch"),
  step("video", "fetch"),
  step("audio", "fetch"),
  step("store", "video", "audio", "fetch"),
];

test("every step is to the right of all steps that it comes after", () => {
  expect(layersOf(diamond).map((layer) => layer.map((one) => one.step))).toEqual([
    ["fetch"],
    ["video", "audio"],
    ["store"],
  ]);
});

test("a need that follows from others is left out", () => {
  expect(directNeeds(diamond)).toEqual([
    { from: "fetch", to: "video" },
    { from: "fetch", to: "audio" },
    { from: "video", to: "store" },
    { from: "audio", to: "store" },
  ]);
});
