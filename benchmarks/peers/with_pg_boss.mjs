// pg-boss: `singletonKey` with `singletonSeconds`, `insert`, and a worker that fetches lists.

import { PgBoss } from 'pg-boss'
import { each, key, main, message, numbers, seconds } from './task.mjs'

const QUEUE = 'noop'
// One job for each key and week, also after it was completed: the nearest to our own window of 7 days.
const singletonSeconds = 7 * 24 * 3600

// Without its schedules and its maintenance, which are not what is measured.
const withBoss = async (connection, use, max = 1) => {
  const boss = new PgBoss({ ...connection, max, schedule: false, supervise: false })
  await boss.start()
  try {
    await boss.createQueue(QUEUE)
    return await use(boss)
  } finally {
    await boss.stop({ graceful: true })
  }
}

const fill = (boss, count) => seconds(() => boss.insert(
  QUEUE,
  numbers(count).map((number) => ({ data: message(number), singletonKey: key(number), singletonSeconds }))
))

await main({
  single: (connection, count) => withBoss(connection, (boss) =>
    each(count, (number) => boss.send(QUEUE, message(number), { singletonKey: key(number), singletonSeconds }))),

  bulk: (connection, count) => withBoss(connection, (boss) => fill(boss, count)),

  work: (connection, count) => withBoss(connection, async (boss) => {
    await fill(boss, count)
    let done = 0
    return await seconds(async () => {
      await new Promise((resolve) => boss.work(
        QUEUE,
        // It completes a list at once. Without `burstWhenBatchFull` it waits before each fetch.
        { batchSize: 100, burstWhenBatchFull: true, pollingIntervalSeconds: 0.5 },
        async (jobs) => {
          done += jobs.length
          if (done === count) resolve()
        }
      ))
      // Waits until the last list is completed.
      await boss.offWork(QUEUE)
    })
  }, 10)
})
