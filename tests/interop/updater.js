// Runs npm pear-runtime-updater against a link: updater.js <bootstrap> <link> <dir> <bundle name> <app> <version>
// Prints `updating` and `updated <staged folder>`.
const Corestore = require('corestore')
const connect = require('./connect')
const Updater = require('pear-runtime-updater')
const path = require('path')

const [, , bootstrap, upgrade, dir, name, app, version] = process.argv

async function main () {
  const store = new Corestore(path.join(dir, 'corestore'))
  const updater = new Updater({ dir, upgrade, name, store, app, version })
  updater.on('error', (error) => console.log('error ' + error.message))
  updater.on('updating', () => console.log('updating'))
  updater.on('updated', () => {
    console.log('updated ' + updater.next)
    process.exit(0)
  })
  await updater.ready()
  const swarm = connect(store, bootstrap)
  swarm.join(updater.drive.core.discoveryKey, { server: false, client: true })
}

main()
