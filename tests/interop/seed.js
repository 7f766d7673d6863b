// Stages a folder into a store's Hyperdrive and seeds it: seed.js <bootstrap> <folder> <store> [plain|dedup]
// Prints `staged <milliseconds>`, and `<key hex> <length>` once it is announced, then serves until it is ended.
// With `key` as the mode it prints the key alone and ends.
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')
const connect = require('./connect')
const Localdrive = require('localdrive')

const [, , bootstrap, folder, storage, mode] = process.argv

async function main () {
  const store = new Corestore(storage)
  const drive = new Hyperdrive(store)
  await drive.ready()
  const options = mode === 'dedup' ? { dedup: true, batch: true } : {}
  if (mode === 'key') {
    console.log(drive.key.toString('hex'))
    await drive.close()
    return store.close()
  }
  const start = Date.now()
  for await (const change of new Localdrive(folder).mirror(drive, options)) void change
  console.log('staged ' + (Date.now() - start))
  const swarm = connect(store, bootstrap)
  await swarm.join(drive.discoveryKey, { server: true, client: false }).flushed()
  console.log(drive.key.toString('hex') + ' ' + drive.core.length)
}

main()
