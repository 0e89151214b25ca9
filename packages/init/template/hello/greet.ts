export const greet = (name: string, { node, system }: { node: string; system: string }): string =>
  `Hello ${name}, from ${node} (${system})`;
