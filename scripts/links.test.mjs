import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { findBrokenLinks } from "./links.mjs";

test.each([
  ["a link to a file", "[a](docs/page.md)", []],
  ["a link to no file", "[a](docs/gone.md)", ["README.md links to docs/gone.md"]],
  ["a heading's anchor", "[a](docs/page.md#what-is-it)", []],
  ["an anchor of no heading", "[a](docs/page.md#gone)", ["README.md links to docs/page.md#gone"]],
  ["an anchor of the page itself", "# Top\n\n[a](#top) [b](#gone)", ["README.md links to #gone"]],
  ["a heading in a folder's README", "[a](docs#all-pages)", []],
  ["a picture", '<img src="docs/gone.jpg">', ["README.md links to docs/gone.jpg"]],
  ["a path in backticks", "`docs/page.md` `docs/gone.md`", ["README.md names docs/gone.md"]],
  ["what is no path", "`docs/*.md` `npm run docs/` [a](https://example.org/gone)", []],
  ["what stands in a block of code", "```sh\ncat `docs/gone.md`\n```", []],
])("%s", (_, text, expected) => {
  const root = mkdtempSync(path.join(tmpdir(), "loom-links-"));
  onTestFinished(() => rmSync(root, { recursive: true }));
  mkdirSync(path.join(root, "docs"));
  writeFileSync(path.join(root, "docs/page.md"), "# Page\n\n## What is it?\n");
  writeFileSync(path.join(root, "docs/README.md"), "# All pages\n");
  writeFileSync(path.join(root, "README.md"), `${text}\n`);
  const found = findBrokenLinks(root);
  expect(found).toEqual(expected.map((sentence) => expect.stringContaining(sentence)));
});
