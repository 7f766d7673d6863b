// A blind relay: node relay.js HOST:PORT; prints "relay <public key hex>", and "pairs <n>" when that changes.
const DHT = require('hyperdht')
const { Server } = require('blind-relay')

const dht = new DHT({ bootstrap: [process.argv[2]], firewalled: false })
const relay = new Server({ createStream: (opts) => dht.createRawStream({ ...opts, framed: true }) })
const server = dht.createServer({ shareLocalAddress: false }, (socket) => {
  socket.on('error', () => {})
  const session = relay.accept(socket, { id: socket.remotePublicKey })
  session.on('error', () => {})
  session.on('pair', () => console.log('pairs ' + relay.stats.pairings.matched))
})
server.listen().then(() => console.log('relay ' + Buffer.from(server.publicKey).toString('hex')))
