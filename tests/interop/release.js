// A JavaScript release machine for app_js.rs. Stores are folders; the drive is the store's unnamed one.
// node release.js BOOTSTRAP key STORE               prints the drive's key and ends
// node release.js BOOTSTRAP seed STORE DIR [dedup]  mirrors DIR into the drive, announces it, prints "ready LENGTH", serves until killed
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')
const Hyperswarm = require('hyperswarm')
const Localdrive = require('localdrive')

const [bootstrap, mode, folder, dir, dedup] = process.argv.slice(2)

async function main () {
  const store = new Corestore(folder)
  const drive = new Hyperdrive(store)
  await drive.ready()
  if (mode === 'key') {
    console.log(drive.key.toString('hex'))
    await drive.close()
    return store.close()
  }
  const options = dedup ? { dedup: true, batch: true } : {}
  for await (const change of new Localdrive(dir).mirror(drive, options)) void change
  const swarm = new Hyperswarm({ bootstrap: [bootstrap] })
  swarm.on('connection', (connection) => {
    connection.on('error', () => {})
    store.replicate(connection)
  })
  await swarm.join(drive.discoveryKey, { server: true, client: false }).flushed()
  console.log('ready ' + drive.core.length)
}

main()
