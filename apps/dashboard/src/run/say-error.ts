/** The message of what a step left when it failed; the whole of it where there is none. */
export function sayError(error: unknown): string {
  if (typeof error === "string") return error;
  if (typeof error === "object" && error !== null && "message" in error) {
    return String(error.message);
  }
  return error === null || error === undefined ? "no error was recorded" : JSON.stringify(error);
}
