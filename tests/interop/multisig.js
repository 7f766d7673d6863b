// One signer and committer of a team, on npm hyper-multisig and hypercore-sign-lib, with key files as the Pear CLI keeps them.
//   multisig.js <bootstrap> key <folder> <name> <password>               prints the public key
//   multisig.js <bootstrap> sign <folder> <name> <password> <request>    prints the response
//   multisig.js <bootstrap> link <pear.json>                             prints the key in the link
//   multisig.js <bootstrap> request <pear.json> <store> <source> <length>   prints the request
//   multisig.js <bootstrap> verify|commit <pear.json> <store> <source> <request> <first: 0|1> <response...>
//                                                                        prints `quorum <n> <length>`
//   multisig.js <bootstrap> seed <store> <key>                           prints `seeding`, serves until it is ended
const Corestore = require('corestore')
const HyperMultisig = require('hyper-multisig')
const Hyperdrive = require('hyperdrive')
const connect = require('./connect')
const CoreSign = require('hypercore-sign-lib')
const sodium = require('sodium-native')
const id = require('hypercore-id-encoding')
const z32 = require('z32')
const fs = require('fs')
const path = require('path')

const [, , bootstrap, command, ...args] = process.argv
const PATIENCE = { peerUpdateTimeout: 60000 }

function secure (text) {
  const buffer = sodium.sodium_malloc(Buffer.byteLength(text))
  buffer.write(text)
  return buffer
}

function open (storage) {
  const store = new Corestore(storage)
  const swarm = connect(store, bootstrap)
  return { store, swarm, multisig: new HyperMultisig(store, swarm) }
}

function team (config) {
  return JSON.parse(fs.readFileSync(config)).multisig
}

const commands = {
  async key (folder, name, password) {
    const { publicKey, secretKey } = await CoreSign.generateKeys(secure(password))
    fs.mkdirSync(folder, { recursive: true })
    fs.writeFileSync(path.join(folder, name + '.public'), publicKey)
    fs.writeFileSync(path.join(folder, name), secretKey)
    console.log(z32.encode(publicKey))
  },

  async sign (folder, name, password, request) {
    const secretKey = fs.readFileSync(path.join(folder, name))
    console.log(z32.encode(await CoreSign.sign(z32.decode(request), secretKey, secure(password))))
  },

  async link (config) {
    const { publicKeys, namespace, quorum } = team(config)
    console.log(id.encode(HyperMultisig.getCoreKey(publicKeys, namespace, { quorum })))
  },

  async request (config, storage, source, length) {
    const { publicKeys, namespace, quorum } = team(config)
    const { store, multisig } = open(storage)
    const drive = new Hyperdrive(store, id.decode(source))
    const runner = multisig.requestDrive(publicKeys, namespace, drive, Number(length), { quorum, ...PATIENCE })
    const { request } = await runner.done()
    console.log(z32.encode(request))
  },

  verify: (...args) => release('verifyDrive', ...args),
  commit: (...args) => release('commitDrive', ...args),

  async seed (storage, key) {
    const { store, swarm } = open(storage)
    const drive = new Hyperdrive(store, id.decode(key))
    await drive.ready()
    drive.core.download({ start: 0, end: -1 })
    await swarm.join(drive.discoveryKey).flushed()
    console.log('seeding')
    const blobs = await drive.getBlobs()
    blobs.core.download({ start: 0, end: -1 })
    return new Promise(() => {})
  }
}

async function release (method, config, storage, source, request, first, ...responses) {
  const { publicKeys, namespace, quorum } = team(config)
  const { store, multisig } = open(storage)
  const drive = new Hyperdrive(store, id.decode(source))
  const options = { quorum, skipTargetChecks: first === '1', ...PATIENCE }
  const runner = multisig[method](publicKeys, namespace, drive, request, responses, options)
  const { quorum: obtained, result } = await runner.done()
  console.log('quorum ' + obtained + ' ' + result.db.batch.length)
}

commands[command](...args).then(() => process.exit(0), (error) => {
  console.error(error)
  process.exit(1)
})
