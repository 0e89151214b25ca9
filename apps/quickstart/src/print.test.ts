import { stripVTControlCharacters } from "node:util";
import { expect, test, vi } from "vitest";
import { printWorkflowProblem } from "./print.ts";

test("prints a file that the hub cannot use, with its place and the lines around it", () => {
  const print = vi.spyOn(console, "log").mockImplementation(() => {});
  printWorkflowProblem({
    ...{ level: 50, msg: "workflow file not used", file: "/w/deploy.ts", line: 2, column: 14 },
    frame: "  1 | const a = 1;\n> 2 | export const = 1;\n    |              ^",
    ...{ problem: "Unexpected token `=`", fix: "give it a name" },
  });
  printWorkflowProblem({ level: 30, msg: "listening", url: "http://127.0.0.1:3000" });
  const printed = print.mock.calls.map(([text]) => stripVTControlCharacters(String(text)));
  print.mockRestore();
  expect(printed).toEqual([
    [
      "failed /w/deploy.ts:2:14: Unexpected token `=`",
      "         1 | const a = 1;",
      "       > 2 | export const = 1;",
      "           |              ^",
      "       → give it a name",
    ].join("\n"),
  ]);
});
