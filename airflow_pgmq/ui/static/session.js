// The connection that the page shows, and what the user may do there.
import { param, setParams } from "./address.js";
import { get } from "./api.js";

const DEFAULT = "pgmq_default";

export async function openSession(signal) {
  const wanted = param("connection_id");
  // Name the connection in the request, because connections of a secrets backend cannot be listed.
  const { connections } = await get("api/connections", { connection_id: wanted }, signal);
  const found =
    connections.find((each) => each.connection_id === wanted) ??
    (wanted ? null : (connections.find((each) => each.connection_id === DEFAULT) ?? connections[0]));
  if (found && !wanted) setParams({ connection_id: found.connection_id });
  return { connections, connection: found ?? null, wanted };
}
