// Records the bytes that npm @hyperswarm/secret-stream writes after a handshake of known keys, on both sides:
// node secret-stream-wire.js > ../secret-stream/wire.json    Run where that package is installed (tests/interop).
const { Duplex } = require('streamx')
const SecretStream = require('@hyperswarm/secret-stream')
const crypto = require('hypercore-crypto')

const hex = (b) => Buffer.from(b).toString('hex')
const fill = (n, size = 32) => Buffer.alloc(size, n)
const messages = [Buffer.alloc(0), Buffer.from('hello'), fill(7, 300), fill(8, 3000)]

class Wire extends Duplex {
  constructor () {
    super()
    this.written = []
  }

  _write (data, cb) {
    this.written.push(Buffer.from(data))
    this.other.push(Buffer.from(data))
    cb(null)
  }
}

async function main () {
  const wires = [new Wire(), new Wire()]
  wires[0].other = wires[1]
  wires[1].other = wires[0]
  const keys = [crypto.keyPair(fill(1)), crypto.keyPair(fill(2))]
  const hash = fill(5, 64)
  const sides = wires.map((wire, i) => new SecretStream(i === 0, wire, {
    enableSend: false,
    handshake: {
      tx: fill(i === 0 ? 3 : 4), rx: fill(i === 0 ? 4 : 3), hash, publicKey: keys[i].publicKey, remotePublicKey: keys[1 - i].publicKey
    }
  }))
  for (const side of sides) {
    side.on('data', () => {})
    for (const message of messages) side.write(message)
  }
  await new Promise((resolve) => setTimeout(resolve, 200))
  console.log(JSON.stringify({
    version: require('@hyperswarm/secret-stream/package.json').version,
    initiator_tx: hex(fill(3)), initiator_rx: hex(fill(4)), hash: hex(hash),
    messages: messages.map(hex),
    initiator: hex(Buffer.concat(wires[0].written)), responder: hex(Buffer.concat(wires[1].written)),
    namespaces: crypto.namespace('hyperswarm/secret-stream', 3).map(hex)
  }, null, 1))
  process.exit(0)
}
main()
