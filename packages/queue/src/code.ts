import { z } from "zod";
import type { Call } from "./transport/call.ts";

/** A hub's signed statement about a bundle. */
export interface SignedBundle {
  /** The file's name, for people. */
  readonly name: string;
  /** JSON text, byte for byte as it was signed. */
  readonly manifest: string;
  readonly signature: string;
}

/** A bundle as it is stored. */
export interface StoredBundle {
  /** gzip as base64. */
  readonly source: string;
  /** By the id of the key that signed. */
  readonly signed: Readonly<Record<string, SignedBundle>>;
}

/** Calls about bundles of workflows. */
export interface Code {
  /**
   * Stores a bundle, or says that it is needed again. Call it before what needs it is added.
   *
   * @param bundle.key - The id of the key that signed.
   * @param bundle.source - gzip as base64. Left out, a bundle that is not there is not stored.
   * @returns Whether it is there now.
   * @see sql/code.sql
   */
  storeCode(
    digest: string,
    bundle: {
      workflows: readonly string[];
      key: string;
      signed: SignedBundle;
      source?: string;
    },
  ): Promise<boolean>;

  /**
   * Reads the bundle of a job that the node holds, is offered or is pinned to; null for any other. It is not
   * verified.
   *
   * @see sql/code.sql
   */
  readCode(node: string, digest: string): Promise<StoredBundle | null>;
}

export const code = (call: Call): Code => ({
  async storeCode(digest, { workflows, key, signed, source }) {
    const { stored } = await call(
      "loom_store_code",
      {
        p_digest: digest,
        p_workflows: workflows,
        p_key: key,
        p_signed: signed,
        p_source: source ?? null,
      },
      z.object({ stored: z.boolean() }),
    );
    return stored;
  },

  async readCode(node, digest) {
    const answer = z.object({ bundle: bundle.nullable() });
    return (await call("loom_read_code", { p_node: node, p_digest: digest }, answer)).bundle;
  },
});

const bundle = z.object({
  source: z.string(),
  signed: z.record(
    z.string(),
    z.object({ name: z.string(), manifest: z.string(), signature: z.string() }),
  ),
});
