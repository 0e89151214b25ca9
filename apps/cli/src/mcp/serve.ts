import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import type { Cli } from "../cli.ts";
import { toCliError } from "../errors.ts";
import { version } from "../version.ts";
import { type Allowed, type Tool, tools } from "./tools.ts";

/**
 * Serves the tools over standard input and output until the client closes its end. A client is shown only
 * the tools that it may call.
 */
export async function serveMcp(cli: Cli, allowed: ReadonlySet<Allowed>): Promise<void> {
  // A hub that is not chosen is better said now than by every tool.
  const { client, url } = cli.hub();
  const server = new McpServer(
    { name: "loom", version },
    { instructions: `Loom runs workflows on the machines of a mesh; this is the hub at ${url}.` },
  );
  const offered = Object.entries<Tool>(tools).filter(
    ([, { needs }]) => needs === "read" || allowed.has(needs),
  );
  for (const [name, { title, description, input, needs, ...tool }] of offered) {
    const annotations = {
      title,
      readOnlyHint: needs === "read",
      destructiveHint: tool.isDestructive ?? false,
      openWorldHint: false,
    };
    const config = { title, description, inputSchema: input, annotations };
    server.registerTool(name, config, async (given: Record<string, unknown>) => {
      try {
        return { content: [text(JSON.stringify(await tool.call(client, given)))] };
      } catch (error) {
        const { message, code, why, fix } = toCliError(error, { argv: [], url });
        return { isError: true, content: [text(`${message} [${code}]\nwhy: ${why}\nfix: ${fix}`)] };
      }
    });
  }
  const over = new Promise<void>((resolve) => {
    server.server.onclose = resolve;
    process.stdin.once("end", () => void server.close());
  });
  await server.connect(new StdioServerTransport());
  await over;
}

const text = (content: string) => ({ type: "text" as const, text: content });
