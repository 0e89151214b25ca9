import { defineCommands } from "@loom/ssh";
import { z } from "zod";

/** Does nothing, on the node: it is reached, knows the key and runs operations. */
export const { reach } = defineCommands({ reach: { args: z.tuple([]), argv: () => ["true"] } });
