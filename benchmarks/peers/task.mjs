// What each Node.js script of a peer does: one task in an empty database, then JSON of its seconds.

const WARM_UP = 20

export const message = (number) => ({ report: 'daily_report', customer: number, date: '2026-01-01' })
export const key = (number) => `daily_report/2026-01-01/${number}`
export const numbers = (count) => [...Array(count).keys()]

export const seconds = async (work) => {
  const started = performance.now()
  await work()
  return (performance.now() - started) / 1000
}

// Seconds of each call, one after the other.
export const each = async (count, call) => {
  const all = []
  for (const number of numbers(count + WARM_UP)) all.push(await seconds(() => call(number)))
  return all.slice(WARM_UP)
}

// Called with the server's socket directory, the database, the task and the number of messages.
export const main = async (tasks) => {
  const [host, database, task, count] = process.argv.slice(2)
  const measured = await tasks[task]({ host, port: 5432, user: 'postgres', database }, Number(count))
  console.log(JSON.stringify(measured))
}
