import { describeQueue, hostedTest } from "@loom/queue/testing";

// As on a hosted project: the secret key for a hub, and for an agent the publishable one with its node's key.
describeQueue("HTTP", hostedTest);
