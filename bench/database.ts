// Postgres, PostgREST and the gateway in a process of their own, as they are elsewhere in earnest.
import { once } from "node:events";
import { openDatabase, startCluster } from "@loom/local-db";
import { migrationScript } from "@loom/queue";

const cluster = await startCluster({ schema: await migrationScript() });
const database = await openDatabase(cluster.info);
const { url, serviceKey, databaseUrl, socketDir } = database;
process.send?.({ url, serviceKey, databaseUrl, socketDir });
await once(process, "disconnect");
await database.stop();
await cluster.stop();
