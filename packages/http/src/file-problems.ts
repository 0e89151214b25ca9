/** Problems of requests about files: a part of the table of problems. */
export const fileProblems = {
  FILES_OFF: () => ({
    status: 409,
    detail: "this hub keeps no files",
    hint: "start it with loom-hub or npm start",
  }),
  NODE_KEY_MISSING: () => ({
    status: 401,
    detail: "the request has no key of a node",
    hint: "join again: loom-agent join HUB",
  }),
  NODE_KEY_REFUSED: () => ({
    status: 403,
    detail: "the database does not take the key of this node",
    hint: "join again: loom-agent join HUB",
  }),
  RANGE_INVALID: (size: number) => ({
    status: 416,
    detail: `the file has ${size} bytes, and the range begins beyond them`,
    hint: "ask for a range that begins before its end, such as bytes=0-",
  }),
};
