import { databaseTest, describeQueue } from "@loom/queue/testing";
import { postgresTest } from "./fixtures.ts";

describeQueue("supabase-js", databaseTest);
describeQueue("a direct connection", postgresTest);
