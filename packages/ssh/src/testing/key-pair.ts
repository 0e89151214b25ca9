import ssh2 from "ssh2";

/** A key pair in OpenSSH's formats. */
export interface KeyPair {
  readonly private: string;
  /** One line, without its end. */
  readonly public: string;
}

/** Makes a key pair. */
export function makeKeyPair(type: "ed25519" | "ecdsa" = "ed25519"): KeyPair {
  // ssh2 1.17 writes about one in a hundred ed25519 keys so that nobody can read it
  // (23 of 3 000, refused by ssh-keygen too).
  for (;;) {
    const pair =
      type === "ed25519"
        ? ssh2.utils.generateKeyPairSync("ed25519")
        : ssh2.utils.generateKeyPairSync("ecdsa", { bits: 256 });
    if (!(ssh2.utils.parseKey(pair.private) instanceof Error)) {
      return { private: pair.private, public: pair.public.trim() };
    }
  }
}
