// One call of pgmq-js: the request is JSON on standard input, the answer JSON on standard output.
const { Pgmq } = require("pgmq-js");

const calls = {
  send: async (msg, { queue, messages, delay }) => {
    const ids = [];
    for (const message of messages) ids.push(await msg.send(queue, message, delay));
    return ids;
  },
  send_batch: (msg, { queue, messages, delay }) => msg.sendBatch(queue, messages, delay),
  read: async (msg, { queue, count, timeout }) => (await msg.readBatch(queue, timeout, count)).map(shown),
  archive: (msg, { queue, ids }) => msg.archiveBatch(queue, ids),
  delete: (msg, { queue, ids }) => msg.deleteBatch(queue, ids),
};

function shown(read) {
  const { msgId, readCount, ...rest } = read;
  return { msg_id: msgId, read_ct: readCount, ...rest };
}

async function main() {
  let text = "";
  for await (const part of process.stdin) text += part;
  const request = JSON.parse(text);
  const { host, port, user, dbname } = request.address;
  const pgmq = await Pgmq.new(
    { host, port: Number(port), user, database: dbname, password: "", ssl: false },
    { skipExtensionCreation: true },
  );
  try {
    console.log(JSON.stringify(await calls[request.call](pgmq.msg, request)));
  } finally {
    await pgmq.close();
  }
}

main();
