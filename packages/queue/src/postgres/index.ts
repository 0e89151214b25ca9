export {
  clientOptions,
  createPostgresQueue,
  type PostgresQueue,
  type PostgresQueueOptions,
} from "./create-postgres-queue.ts";
export { ListenUnavailableError } from "./listen.ts";
