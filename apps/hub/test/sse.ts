/** One event of a stream, as it came. */
export interface Frame {
  id: string | undefined;
  event: string;
  data: Record<string, unknown>;
}

/** Reads a stream of events from a socket, one at a time. */
export async function openStream(url: string, headers: Record<string, string>) {
  const hangUp = new AbortController();
  const answer = await fetch(url, { headers, signal: hangUp.signal });
  const reader = (answer.body ?? new ReadableStream()).getReader();
  const decoder = new TextDecoder();
  let text = "";

  /** The next event, comments aside; undefined at the end. */
  async function next(): Promise<Frame | undefined> {
    for (;;) {
      const end = text.indexOf("\n\n");
      if (end >= 0) {
        const fields = new Map(
          text
            .slice(0, end)
            .split("\n")
            .map((line): [string, string] => {
              const [name = "", ...rest] = line.split(": ");
              return [name, rest.join(": ")];
            }),
        );
        text = text.slice(end + 2);
        const event = fields.get("event");
        if (event)
          return { id: fields.get("id"), event, data: JSON.parse(fields.get("data") ?? "{}") };
        continue;
      }
      const { value, done } = await reader.read();
      if (done) return undefined;
      text += decoder.decode(value, { stream: true });
    }
  }

  return {
    answer,
    next,
    /** Reads until an event of this type has come; it is the last of what is returned. */
    async until(event: string): Promise<Frame[]> {
      const frames: Frame[] = [];
      for (;;) {
        const frame = await next();
        if (!frame) throw new Error(`the stream ended before ${event}: ${JSON.stringify(frames)}`);
        frames.push(frame);
        if (frame.event === event) return frames;
      }
    },
    hangUp: () => hangUp.abort(),
  };
}
