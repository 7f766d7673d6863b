// Mirrors a drive into a folder: fetch.js <bootstrap> <key> <store> <folder> [newer]
// With `newer` it waits for a version above the one in the store. Prints `length <n>` and `done`.
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')
const connect = require('./connect')
const Localdrive = require('localdrive')
const { decode } = require('hypercore-id-encoding')

const [, , bootstrap, key, storage, folder, newer] = process.argv

async function main () {
  const store = new Corestore(storage)
  const drive = new Hyperdrive(store, decode(key))
  await drive.ready()
  const swarm = connect(store, bootstrap)
  swarm.join(drive.discoveryKey, { server: false, client: true })
  // A fresh drive claims version 1 before anything was replicated: the core's length tells.
  const known = newer ? drive.core.length : 1
  while (drive.core.length <= known) {
    await new Promise((resolve) => drive.core.once('append', resolve))
  }
  console.log('length ' + drive.core.length)
  for await (const change of drive.checkout(drive.core.length).mirror(new Localdrive(folder))) void change
  console.log('done')
  process.exit(0)
}

main()
