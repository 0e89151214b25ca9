/**
 * How the queue reaches its SQL functions: one method, so that a function is the
 * only thing a transport has to know.
 *
 * A call whose answer was lost may be repeated: the functions answer it as they answered
 * the first, where a run or a job that is added has a key.
 */
export interface Transport {
  /**
   * Calls `public.<name>` with named arguments.
   *
   * @returns The function's JSON answer, not checked yet.
   * @throws QueueUnavailableError when nothing, or nobody able, answered; try again.
   * @throws QueueAccessError, QueueSchemaError, QueueRequestError when trying again cannot help.
   */
  call(name: string, args: Readonly<Record<string, unknown>>): Promise<unknown>;
}
