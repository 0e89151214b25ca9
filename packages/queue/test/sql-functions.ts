import { readdirSync, readFileSync } from "node:fs";

const folder = new URL("../sql/", import.meta.url);

/** Every function of sql/: the comment above it and its statement. */
export const sqlFunctions = readdirSync(folder)
  .filter((file) => file.endsWith(".sql"))
  .flatMap((file) => {
    const text = readFileSync(new URL(file, folder), "utf8");
    return text.split(/(?<=^(?:end )?\$\$;\n)\n/m).map((part) => ({
      file,
      name: /\bfunction public\.(\w+)\s*\(/.exec(part)?.[1] ?? "",
      text: part,
      // Rules are about statements; comments may say what they like.
      code: part.replace(/--.*$/gm, ""),
    }));
  });
