import { SourceMap, type SourceMapPayload } from "node:module";

/** Matches a place in a bundle, in whichever folder a node keeps it: its digest, line and column. */
const PLACE = /(?:file:\/\/)?[^\s()'"]*?([0-9a-f]{64})\.mjs:(\d+):(\d+)/g;

/** How many parsed maps are kept. One takes about 1 MiB. */
const MAX_MAPS = 4;

/**
 * Creates a function that replaces places in bundles by the places in the author's files, in a stack trace or any text.
 *
 * @param readMap - Finds a source map by digest. Without one, a place stays as it is.
 */
export function createStackMapper(
  readMap: (digest: string) => Promise<string | undefined>,
): (text: string) => Promise<string> {
  const maps = new Map<string, SourceMap>();

  async function mapOf(digest: string): Promise<SourceMap | undefined> {
    const known = maps.get(digest);
    if (known) return known;
    const text = await readMap(digest);
    if (text === undefined) return undefined;
    const map = new SourceMap(JSON.parse(text) as SourceMapPayload);
    const [oldest] = maps.keys();
    if (maps.size >= MAX_MAPS && oldest !== undefined) maps.delete(oldest);
    maps.set(digest, map);
    return map;
  }

  return async (text) => {
    const places = [...text.matchAll(PLACE)];
    if (places.length === 0) return text;
    let mapped = "";
    let end = 0;
    for (const { 0: place, 1: digest = "", 2: line, 3: column, index } of places) {
      const map = await mapOf(digest).catch(() => undefined);
      // Stack traces count from 1, maps from 0.
      const origin = map?.findEntry(Number(line) - 1, Number(column) - 1);
      mapped += text.slice(end, index);
      mapped +=
        origin && "originalSource" in origin && origin.originalSource
          ? `${origin.originalSource}:${origin.originalLine + 1}:${origin.originalColumn + 1}`
          : place;
      end = index + place.length;
    }
    return mapped + text.slice(end);
  };
}
