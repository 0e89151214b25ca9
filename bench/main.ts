// npm run bench -- <topic> [options of the topic]
import { existsSync, readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const [topic, ...args] = process.argv.slice(2);
const folder = fileURLToPath(new URL(".", import.meta.url));
const topics = readdirSync(folder).filter((name) => existsSync(`${folder}${name}/main.ts`));
if (topic === undefined || !topics.includes(topic)) {
  console.error(`usage: npm run bench -- <${topics.join(" | ")}> [options]`);
  process.exit(64);
}
process.argv.splice(2, Infinity, ...args);
await import(`./${topic}/main.ts`);
