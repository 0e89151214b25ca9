import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { describe, expect } from "vitest";
import { test as base, beginStep, exitInDocs } from "./fixtures.ts";

/** A client of the protocol, with the program as its server. */
const test = base.extend("connect", ({ main, environment }, { onCleanup }) => {
  const clients: Client[] = [];
  onCleanup(async () => {
    for (const client of clients) await client.close();
  });
  return async (...args: string[]) => {
    const client = new Client({ name: "test", version: "1.0.0" });
    clients.push(client);
    const env = Object.fromEntries(
      Object.entries(environment()).filter((entry): entry is [string, string] => !!entry[1]),
    );
    const command = { command: process.execPath, args: [main, "mcp", ...args], env };
    await client.connect(new StdioClientTransport(command));
    return {
      names: async () => (await client.listTools()).tools.map(({ name }) => name),
      tools: async () => (await client.listTools()).tools,
      call: async (name: string, given: Record<string, unknown> = {}) => {
        const { content, isError } = await client.callTool({ name, arguments: given });
        const [{ text = "" } = {}] = content as { text?: string }[];
        return {
          isError: isError === true,
          text,
          value: text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : undefined,
        };
      },
    };
  };
});

const READING = [
  "list_workflows",
  "show_workflow",
  "list_runs",
  "show_run",
  "read_logs",
  "why",
  "list_nodes",
];

describe("loom mcp", { timeout: 120_000 }, () => {
  test("reads, and offers nothing else", async ({ connect, made, queue, loom }) => {
    const { pi } = await made.nodes();
    const id = await made.run("visit");
    await beginStep(queue, pi, ["one\ntwo\n"]);

    const mcp = await connect();
    expect(await mcp.names()).toEqual(READING);
    expect((await mcp.tools()).every(({ annotations }) => annotations?.readOnlyHint)).toBe(true);
    expect((await mcp.call("list_runs", { status: "running" })).value).toMatchObject([{ id }]);
    expect((await mcp.call("show_run", { run: id.slice(0, 8) })).value).toMatchObject({ id });
    expect((await mcp.call("read_logs", { subject: id, tail: 1 })).value).toMatchObject([
      { step: "there", text: "two\n" },
    ]);
    expect((await mcp.call("list_nodes")).value).toMatchObject([{ name: "pi" }, { name: "tower" }]);
    expect((await mcp.call("show_workflow", { workflow: "visit" })).value).toMatchObject({
      name: "visit",
      inputSchema: { type: "object" },
    });
    expect((await mcp.call("list_workflows")).value.data).toHaveLength(5);
    await loom(["node", "pause", "tower"]);
    await loom(["run", "train"]);
    expect((await mcp.call("why", { subject: "train" })).value).toMatchObject([
      { step: "fit", fix: "loom node resume tower", nearest: { node: "tower" } },
    ]);

    const unknown = await mcp.call("show_workflow", { workflow: "visti" });
    expect(unknown.isError).toBe(true);
    expect(unknown.text).toContain("there is no workflow visti [UNKNOWN_WORKFLOW]\nwhy: ");
    // A tool that was not allowed is not there, however it is called.
    expect(await mcp.call("start_run", { workflow: "visit" })).toMatchObject({ isError: true });
    expect((await queue.listRuns()).runs).toHaveLength(2);
  });

  test("changes what it was allowed to", async ({ connect, made, queue }) => {
    await made.nodes();
    const mcp = await connect("--allow", "run,operate");
    expect(await mcp.names()).toEqual([
      ...READING,
      ...["start_run", "retry_run", "cancel_run", "pause_node", "drain_node", "resume_node"],
    ]);
    const input = { greeting: "Hi" };
    const { value } = await mcp.call("start_run", { workflow: "visit", input });
    expect((await queue.getRun(value.runId)).input).toEqual(input);
    expect((await mcp.call("cancel_run", { run: value.runId })).value).toEqual({
      status: "cancelled",
    });
    expect((await mcp.call("retry_run", { run: value.runId })).value).toMatchObject({
      returned: "created",
    });
    expect((await mcp.call("pause_node", { node: "pi", for: "1h" })).value).toMatchObject({
      status: "paused",
    });
    expect((await mcp.call("pause_node", { node: "pi", for: "soon" })).isError).toBe(true);
    expect((await mcp.call("resume_node", { node: "pi" })).value).toMatchObject({
      status: "active",
    });
  });

  test("allows nothing that it does not know, and needs a hub", async ({ loom }) => {
    const wrong = await loom(["mcp", "--allow", "admin"]);
    expect(wrong.code).toBe(exitInDocs("USAGE"));
    expect((await loom(["mcp"], { bare: true })).code).toBe(exitInDocs("NO_HUB"));
  });
});
