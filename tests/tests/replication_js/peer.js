// A JavaScript peer for replication_js.rs, over one TCP connection.
// node peer.js seed FOLDER: prints "PORT KEY.. HASH.." of three cores; on a line on stdin truncates the first and appends, prints its new hash.
// node peer.js fetch FOLDER PORT KEY..: downloads 500 blocks of each core, prints their tree hashes, then "live" once the first grows.
const Corestore = require('corestore')
const net = require('net')
const crypto = require('crypto')

const [mode, folder, port, ...keys] = process.argv.slice(2)
const store = new Corestore(folder)
const hash = async (core) => (await core.treeHash()).toString('hex')

function pipe (socket, stream) {
  stream.on('error', () => {})
  socket.on('error', () => {}).pipe(stream).pipe(socket)
}

async function seed () {
  const cores = [0, 1, 2].map((i) => store.get({ name: 'core-' + i }))
  for (const core of cores) {
    await core.ready()
    await core.append(Array.from({ length: 700 }, () => crypto.randomBytes(crypto.randomInt(5000))))
  }
  const server = net.createServer((socket) => pipe(socket, store.replicate(false)))
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const hashes = await Promise.all(cores.map(hash))
  console.log([server.address().port, ...cores.map((core) => core.key.toString('hex')), ...hashes].join(' '))
  process.stdin.once('data', async () => {
    await cores[0].truncate(400)
    await cores[0].append(['after', 'the cut'])
    console.log(await hash(cores[0]))
  })
}

async function fetch () {
  pipe(net.connect(Number(port), '127.0.0.1'), store.replicate(true))
  const cores = keys.map((key) => store.get({ key: Buffer.from(key, 'hex') }))
  for (const core of cores) {
    await core.get(499)
    await core.download({ start: 0, end: 500 }).done()
  }
  console.log((await Promise.all(cores.map(hash))).join(' '))
  await cores[0].get(500)
  console.log('live')
}

if (mode === 'seed') seed()
else fetch()
