import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

describe("the client's code", () => {
  // A browser loads everything that the index imports by value.
  test("imports only its own modules and a parser of events at run time", () => {
    const visited = new Set<string>();
    const visit = (file: string) => {
      if (visited.has(file)) return;
      visited.add(file);
      const text = readFileSync(new URL(file, import.meta.url), "utf8");
      // Matches imports and exports of values: a list counts unless all its entries are types.
      for (const [, kind = "", names = "", from = ""] of text.matchAll(
        /^(?:import|export)( type)? ?(\{[^}]*\}|\*[^"]*)? ?from "([^"]+)";/gm,
      )) {
        const isOfTypes = kind !== "" || [...names.matchAll(/(\w+)(?= as|,|\s*\})/g)].length === 0;
        if (isOfTypes || from === "eventsource-parser/stream") continue;
        expect(from, `${file} imports ${from}`).toMatch(/^\.\/[\w-]+\.ts$/);
        visit(from);
      }
    };
    visit("./index.ts");
    expect(visited.size).toBeGreaterThan(3);
  });
});
