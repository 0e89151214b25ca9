import { createHash } from "node:crypto";
import type { ApiDocument } from "@loom/http";
import { limits } from "@loom/workflow";
import { describe, expect } from "vitest";
import { test } from "./fixtures.ts";
import { toMarkdown } from "./reference-markdown.ts";

describe("the reference", () => {
  test("in docs/api.md is that of the hub as it is", async ({ app }) => {
    const document = (await (await app.request("/openapi.json")).json()) as ApiDocument;
    await expect(toMarkdown(document)).toMatchFileSnapshot("../../../docs/api.md");
  });

  test("has the limits of the table", async ({ app }) => {
    const text = JSON.stringify(await (await app.request("/openapi.json")).json());
    for (const part of [
      `"requires":{"type":"array","items":{"type":"string","maxLength":${limits.clauseLength}},"maxItems":${limits.requirements}`,
      `"maxItems":${limits.preferences}`,
      `"priority":{"type":"integer","minimum":0,"maximum":${limits.priority}}`,
      `"delayMs":{"type":"integer","minimum":0,"maximum":${limits.delayMs}}`,
      `"startWithinMs":{"type":"integer","minimum":1,"maximum":${limits.timerMs}}`,
      `"maxItems":${limits.jobsPerCall}`,
    ]) {
      expect(text).toContain(part);
    }
  });

  test("at /docs names every operation, loads nothing and runs nothing", async ({ app }) => {
    const answer = await app.request("/docs");
    const html = await answer.text();
    const document = (await (await app.request("/openapi.json")).json()) as ApiDocument;
    for (const methods of Object.values(document.paths ?? {})) {
      for (const { operationId } of Object.values(methods)) {
        expect(html).toContain(`<section id="${operationId}">`);
      }
    }
    expect(html).not.toMatch(/<script|<link|<img|@import|url\(|https?:\/\//i);
    const policy = answer.headers.get("content-security-policy") ?? "";
    const [, style = ""] = /<style>([\s\S]*?)<\/style>/.exec(html) ?? [];
    const digest = createHash("sha256").update(style).digest("base64");
    expect(policy).toContain(`default-src 'none'; style-src 'sha256-${digest}'`);
    expect(Buffer.byteLength(html)).toBeLessThan(100_000);
  });
});
