export { codeFrame, type Place, readLines } from "./code-frame.ts";
export { type CodeStore, createCodeStore, type StoredCode } from "./code-store.ts";
export { digestOf, isDigest, MAX_BUNDLE_BYTES, shortVersion } from "./digest.ts";
export { CodeError, type CodeErrorCode } from "./errors.ts";
export { createStackMapper } from "./map-stack.ts";
export {
  type CodeManifest,
  packSource,
  type SignedCode,
  signWorkflow,
  unpackSource,
  verifyCode,
} from "./signed-code.ts";
export { type SignedExec, signExec, type VerifiedExec, verifyExec } from "./signed-exec.ts";
export {
  keyIdOf,
  loadSigningKey,
  type SigningKey,
  SigningKeyError,
  type Statement,
  signStatement,
  verifyStatement,
} from "./signing.ts";
