// Terminal sequences: control sequences (CSI), strings up to their end (OSC, DCS, …), and two-letter escapes.
const SEQUENCE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression matches control characters
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b(?![[\]PX^_])[ -/]*[0-~]/g;

// Remaining control characters, and those that change the writing direction and so hide the real text.
const CONTROL =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression matches control characters
  /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/**
 * Makes untrusted text safe to show: removes terminal sequences, unifies line ends, and replaces each other invisible
 * character by its number.
 */
export const toPrintable = (text: string): string =>
  text.replace(SEQUENCE, "").replace(/\r\n?/g, "\n").replace(CONTROL, nameOf);

const nameOf = (character: string): string =>
  `⟨U+${character.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}⟩`;
