/** A terminal session in a document: commands after `$ `, each with what it printed. */
export interface Session {
  name: string;
  text: string;
}

const BLOCK = /(<!-- session: (\w+) -->\n+```console\n)([\s\S]*?)(```)/g;

/** The sessions of a document, each marked with a comment that names it. */
export const sessionsOf = (document: string): Session[] =>
  [...document.matchAll(BLOCK)].map(([, , name = "", text = ""]) => ({ name, text }));

/** The document with other sessions in place of its own. */
export const withSessions = (document: string, played: readonly Session[]): string =>
  document.replace(BLOCK, (block, head: string, name: string, _text: string, foot: string) => {
    const session = played.find((each) => each.name === name);
    return session ? head + session.text + foot : block;
  });

/** The commands that a session types. */
export const commandsOf = ({ text }: Session): string[] =>
  [...text.matchAll(/^\$ (.+)$/gm)].map(([, command = ""]) => command);

/** What differs each time, and what the document has in its place. */
const FIXED: readonly [RegExp, string][] = [
  [/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "4c1f62f0-5ad6-4b6c-a9a2-d29ba3a5e5ac"],
  [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, "2026-11-30T14:01:07.501Z"],
  [/\b(\d+m )?\d+(\.\d+)?m?s$/gm, "1.4s"],
  [/^(Linux|Darwin) \S+$/gm, "Linux x86_64"],
];

/** A session without what differs each time: ids, times, durations, the machine's kind. */
export const normalise = (text: string): string =>
  FIXED.reduce((rest, [pattern, fixed]) => rest.replace(pattern, fixed), text);
