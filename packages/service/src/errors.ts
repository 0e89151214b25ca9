/** The service cannot be installed, changed or found on this machine. The message says what to do. */
export class ServiceError extends Error {
  override readonly name = "ServiceError";
  readonly code = "SERVICE";
}
