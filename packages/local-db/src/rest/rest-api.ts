import type { ChildProcessHandle } from "../process/start-process.ts";
import { startGateway } from "./gateway.ts";
import { type PostgrestOptions, startPostgrest } from "./postgrest.ts";

/** PostgREST and its gateway. */
export interface RestApi {
  readonly url: string;
  /** The PostgREST process that runs now. */
  readonly postgrest: ChildProcessHandle;
  /** Stops PostgREST and starts it again. The URL stays the same. */
  restartPostgrest(): Promise<void>;
  stop(): Promise<void>;
}

export async function startRestApi(options: PostgrestOptions): Promise<RestApi> {
  let postgrest = await startPostgrest(options);
  try {
    const gateway = await startGateway(options.socketPath);
    return {
      url: gateway.url,
      get postgrest() {
        return postgrest;
      },
      async restartPostgrest() {
        await postgrest.stop();
        postgrest = await startPostgrest(options);
      },
      async stop() {
        await gateway.stop();
        await postgrest.stop();
      },
    };
  } catch (error) {
    await postgrest.stop();
    throw error;
  }
}
