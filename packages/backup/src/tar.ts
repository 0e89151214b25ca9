import { gzipSync } from "node:zlib";

/** The unit of an archive: a header fills one, and content is filled up to the next one. */
export const TAR_BLOCK = 512;
/** Ends an archive. */
export const TAR_END = Buffer.alloc(2 * TAR_BLOCK);

/**
 * Packs files as a gzipped tar archive. The same files give the same bytes.
 *
 * The format is ustar: https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html#tag_20_94_13_06
 *
 * @param files - Contents by path; a path has at most 100 bytes.
 */
export function packTar(files: ReadonlyMap<string, string>): Buffer {
  const parts = [...files].flatMap(([name, text]) => {
    const content = Buffer.from(text);
    return [tarHeader(name, content.length), content, tarPadding(content.length)];
  });
  return gzipSync(Buffer.concat([...parts, TAR_END]), { level: 9 });
}

/** The header of a file in an archive. */
export function tarHeader(name: string, size: number, mode = 0o644): Buffer {
  if (Buffer.byteLength(name) > 100) throw new RangeError(`${name} is too long for an archive`);
  const block = Buffer.alloc(TAR_BLOCK);
  block.write(name, 0);
  for (const [at, length, value] of [
    [100, 8, mode],
    [108, 8, 0],
    [116, 8, 0],
    [124, 12, size],
    [136, 12, 0],
  ] as const) {
    block.write(`${value.toString(8).padStart(length - 1, "0")}\0`, at);
  }
  // The sum counts its own field as spaces.
  block.write("        ", 148);
  block.write("0", 156);
  block.write("ustar\x0000", 257);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

/** The padding between a file's content and the next header. */
export const tarPadding = (size: number): Buffer =>
  Buffer.alloc((TAR_BLOCK - (size % TAR_BLOCK)) % TAR_BLOCK);
