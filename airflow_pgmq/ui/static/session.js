// Which connection the page looks at, and what its user may do there.
import { param, setParams } from "./address.js";
import { api, get } from "./api.js";

const DEFAULT = "pgmq_default";
const NOT_FOUND = 404;
const BAD_GATEWAY = 502;

export async function openSession(signal) {
  const { connections } = await get("api/connections", {}, signal);
  const wanted = param("connection_id");
  const found =
    connections.find((each) => each.connection_id === wanted) ??
    (wanted ? null : (connections.find((each) => each.connection_id === DEFAULT) ?? connections[0]));
  if (found && !wanted) setParams({ connection_id: found.connection_id });
  const hidden = wanted && !found ? await unlisted(wanted, signal) : null;
  return {
    connections: hidden ? [...connections, hidden] : connections,
    connection: found ?? hidden,
    wanted,
  };
}

// A connection of a secrets backend, which cannot list what it has. Nobody has said what its user may do, so
// nothing is offered for it but to look; the API shows them of messages what they may see.
async function unlisted(connection_id, signal) {
  try {
    await get(api(connection_id, "queues"), {}, signal);
  } catch (error) {
    if (error.status === NOT_FOUND) return null;
    if (error.status !== BAD_GATEWAY) throw error;
  }
  return { connection_id, description: null, may_peek: true, may_write: false };
}
