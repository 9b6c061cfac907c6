// graphile-worker: `jobKey`, `addJobs`, and a worker with the settings of its page about performance.

import { Logger, makeWorkerUtils, runOnce } from 'graphile-worker'
import pg from 'pg'
import { each, key, main, message, numbers, seconds } from './task.mjs'

// https://worker.graphile.org/docs/performance
const worker = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
  failJobBatchDelay: 0
}
// Its default writes two lines for each job.
const logger = new Logger(() => () => {})

const withUtils = async (connection, use, max = 1) => {
  const pgPool = new pg.Pool({ ...connection, max })
  // It warns of a pool whose idle connections may fail unnoticed.
  pgPool.on('error', (error) => { throw error })
  pgPool.on('connect', (client) => client.on('error', (error) => { throw error }))
  const utils = await makeWorkerUtils({ pgPool, logger })
  try {
    await utils.migrate()
    return await use(utils, pgPool)
  } finally {
    await utils.release()
    await pgPool.end()
  }
}

const fill = (utils, count) => seconds(() => utils.addJobs(
  numbers(count).map((number) => ({ identifier: 'noop', payload: message(number), jobKey: key(number) }))
))

await main({
  single: (connection, count) => withUtils(connection, (utils) =>
    each(count, (number) => utils.addJob('noop', message(number), { jobKey: key(number) }))),

  bulk: (connection, count) => withUtils(connection, (utils) => fill(utils, count)),

  work: (connection, count) => withUtils(connection, async (utils, pgPool) => {
    await fill(utils, count)
    let done = 0
    const taken = await seconds(() => runOnce({
      preset: { worker },
      pgPool,
      logger,
      noHandleSignals: true,
      taskList: { noop: async () => { done += 1 } }
    }))
    if (done !== count) throw new Error(`${done} of ${count} jobs were done`)
    return taken
  }, worker.maxPoolSize)
})
