export {
  type FakeAnswer,
  type FakeAnswers,
  type FakeLocalApi,
  sendJson,
  startFakeLocalApi,
} from "./fake-local-api.ts";
export { type FakeNameServer, type NameAnswer, startFakeNameServer } from "./fake-name-server.ts";
export { loggedOut, sampleStatus, toJson } from "./sample-status.ts";
export { sampleWhoIs } from "./sample-whois.ts";
