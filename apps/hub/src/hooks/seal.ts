import {
  createCipheriv,
  createDecipheriv,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from "node:crypto";

/** Keeps the addresses and secrets of targets from everybody who has only the database. */
export interface Seal {
  /** @param hook - The name of the hook. The text opens only for this one. */
  close(text: string, hook: string): string;
  /** @throws SealError when another key sealed the text, or it was changed. */
  open(sealed: string, hook: string): string;
}

/** A target cannot be read with this hub's key. */
class SealError extends Error {
  override readonly name = "SealError";
  readonly code = "HOOK_SEAL";
  constructor() {
    super(
      "this hub's key cannot open the hook's target: give the target again, or start every hub with the same LOOM_SIGNING_KEY_FILE",
    );
  }
}

const CIPHER = "aes-256-gcm";
const [NONCE_BYTES, TAG_BYTES] = [12, 16];

/** Creates the seal of a hub from its private key. Without one, what is sealed opens only in this process. */
export function createSeal(privateKey?: KeyObject): Seal {
  const secret = privateKey?.export({ type: "pkcs8", format: "der" }) ?? randomBytes(32);
  const key = Buffer.from(hkdfSync("sha256", secret, "", "loom hooks", 32));
  return {
    close(text, hook) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(hook));
      const closed = Buffer.concat([cipher.update(text, "utf8"), cipher.final()]);
      return Buffer.concat([nonce, cipher.getAuthTag(), closed]).toString("base64");
    },
    open(sealed, hook) {
      try {
        const bytes = Buffer.from(sealed, "base64");
        const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), {
          authTagLength: TAG_BYTES,
        })
          .setAAD(Buffer.from(hook))
          .setAuthTag(bytes.subarray(NONCE_BYTES, NONCE_BYTES + TAG_BYTES));
        const closed = bytes.subarray(NONCE_BYTES + TAG_BYTES);
        return Buffer.concat([decipher.update(closed), decipher.final()]).toString("utf8");
      } catch {
        throw new SealError();
      }
    },
  };
}
