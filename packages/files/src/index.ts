export { openFolderStore } from "./folder-store.ts";
export {
  createHubConnection,
  createOwnConnection,
  type NodeCredentials,
  notFound,
} from "./hub-connection.ts";
export { type HubFiles, nodeFileRoutes, sendObject } from "./node-routes.ts";
export { partReader } from "./part-reader.ts";
export { toFileProblem } from "./problems.ts";
export { openS3Store, type S3Settings } from "./s3-store.ts";
export { type FileStore, type ObjectWriter, StoreError } from "./store.ts";
export { sweepFiles } from "./sweep.ts";
export {
  ConnectionError,
  createFileTransfer,
  type FileConnection,
  fetchFile,
  measure,
  sendFile,
} from "./transfer.ts";
export { createUploads, type Uploads } from "./uploads.ts";
