// Postgres, PostgREST and the gateway in their own process, as in production.
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
