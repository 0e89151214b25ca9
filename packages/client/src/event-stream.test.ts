import { describe, expect, test } from "vitest";
import { createHubClient, type StreamEvent } from "./index.ts";

const END = "id: end\nevent: end\ndata: {}\n\n";
const LOG = 'event: log\ndata: {"text":"a"}\n\n';

/** Returns the events that a client reads from a body in the given pieces. */
async function read(pieces: readonly (string | Uint8Array)[]): Promise<StreamEvent[]> {
  const body = new ReadableStream({
    start(controller) {
      const encoder = new TextEncoder();
      for (const piece of pieces)
        controller.enqueue(typeof piece === "string" ? encoder.encode(piece) : piece);
      controller.close();
    },
  });
  const client = createHubClient({ url: "http://hub", fetch: async () => new Response(body) });
  const events: StreamEvent[] = [];
  for await (const event of client.streamJobLog(1)) events.push(event);
  return events;
}

describe("a stream", () => {
  const log = { id: undefined, event: "log", data: { text: "a" } };
  const cases: { title: string; pieces: (string | Uint8Array)[]; events: object[] }[] = [
    { title: "lines that end with LF", pieces: [LOG], events: [log] },
    { title: "lines that end with CRLF", pieces: [LOG.replaceAll("\n", "\r\n")], events: [log] },
    { title: "lines that end with CR", pieces: [LOG.replaceAll("\n", "\r")], events: [log] },
    {
      title: "data of several lines",
      pieces: ['event: log\ndata: {"text":\ndata: "a"}\n\n'],
      events: [log],
    },
    { title: "no space after the colon", pieces: [LOG.replaceAll(": ", ":")], events: [log] },
    { title: "a comment between events", pieces: [": still here\n\n", LOG], events: [log] },
    { title: "an event in two pieces", pieces: [LOG.slice(0, 9), LOG.slice(9)], events: [log] },
    {
      title: "a character in two pieces",
      pieces: [
        'event: log\ndata: {"text":"',
        new Uint8Array([0xc3]),
        new Uint8Array([0xa9]),
        '"}\n\n',
      ],
      events: [{ ...log, data: { text: "é" } }],
    },
    { title: "an id", pieces: [`id: 7.1\n${LOG}`], events: [{ ...log, id: "7.1" }] },
    { title: "a time to reconnect", pieces: ["retry: 2000\n\n", LOG], events: [log] },
  ];
  test.for(cases)("may have $title", async ({ pieces, events }) => {
    expect(await read([...pieces, END])).toEqual([
      ...events,
      { id: "end", event: "end", data: {} },
    ]);
  });
});
