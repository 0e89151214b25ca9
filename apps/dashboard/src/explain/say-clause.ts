/** A version is a digest: its beginning tells it from others. */
const VERSION = /\bworkflow:([\w.-]+)@([0-9a-f]{12})[0-9a-f]*/g;

/** A clause, a capability or a sentence with some in it, to be read by people. */
export const sayClause = (text: string): string => text.replaceAll(VERSION, "code of $1 @$2");
