import { describeQueue } from "@loom/queue/testing";
import { postgresTest } from "./fixtures.ts";

describeQueue("a direct connection", postgresTest);
