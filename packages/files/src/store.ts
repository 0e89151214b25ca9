import type { Readable } from "node:stream";

/** A place that keeps objects: a folder of a hub, or a bucket. */
export interface FileStore {
  /** Tells this store from every other one. Files are found in the store that took them only. */
  readonly id: string;
  /**
   * How many bytes it can take now; undefined where it does not say.
   *
   * @throws StoreError
   */
  free(): Promise<number | undefined>;
  /**
   * Begins an object. Its parts come in order, each of `limits.filePartBytes` but for the last.
   *
   * @param id - A UUID, which names one object ever.
   * @throws StoreError
   */
  open(id: string, size: number): Promise<ObjectWriter>;
  /**
   * Reads an object from a byte on.
   *
   * @throws StoreError `FILE_GONE` when there is no such object.
   */
  read(id: string, options: { from: number; signal: AbortSignal }): Promise<Readable>;
  /** Removes an object, or what is left of one that was begun. One that is not there counts as removed. */
  remove(id: string): Promise<void>;
}

/** An object that is being written. Before `finish` it may exist in part, and nobody is given it. */
export interface ObjectWriter {
  /** Writes the next part. After an error, the same part may be written again. */
  write(part: Uint8Array): Promise<void>;
  /** Makes the object exist, durably. It may be called again. */
  finish(): Promise<void>;
  /** Gives it up. */
  abort(): Promise<void>;
}

type StoreErrorCode =
  /** There is no room. */
  | "STORE_FULL"
  /** It does not answer, or not with what was asked for. */
  | "STORE_UNAVAILABLE"
  /** It refuses the hub, or the file. */
  | "STORE_REFUSED"
  /** It has no such object. */
  | "FILE_GONE";

/** A store did not do what it was asked to. */
export class StoreError extends Error {
  override readonly name = "StoreError";
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** The name of an object becomes a path or an address, so nothing else may be one. */
export function checkObjectId(id: string): void {
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) {
    throw new TypeError("an object in a store is named by a UUID");
  }
}
