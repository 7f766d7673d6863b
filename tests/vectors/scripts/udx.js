// Records packets that libudx writes (npm udx-native), each for a reason given to it: node udx.js > ../udx/packets.json
// Run where that package is installed (tests/interop). The other end is a plain socket that answers by hand.
const dgram = require('dgram')
const UDX = require('udx-native')

const hex = (b) => Buffer.from(b).toString('hex')
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// type, data offset, stream, window, seq, ack, then the rest
function packet (type, offset, seq, ack, rest = Buffer.alloc(0)) {
  const head = Buffer.alloc(20)
  head.set([255, 1, type, offset])
  head.writeUInt32LE(1, 4)
  head.writeUInt32LE(1 << 20, 8)
  head.writeUInt32LE(seq, 12)
  head.writeUInt32LE(ack, 16)
  return Buffer.concat([head, rest])
}

async function main () {
  const out = []
  const peer = dgram.createSocket('udp4')
  await new Promise((resolve) => peer.bind(0, '127.0.0.1', resolve))
  peer.on('message', (bytes) => out.push(bytes))
  const udx = new UDX()
  const socket = udx.createSocket()
  socket.bind(0, '127.0.0.1')
  const stream = udx.createStream(1)
  stream.on('error', () => {})
  stream.on('data', () => {})
  stream.connect(socket, 0x01020304, peer.address().port, '127.0.0.1')
  const send = async (bytes) => {
    peer.send(bytes, socket.address().port, '127.0.0.1')
    await sleep(30)
  }
  // The first packet of each kind that comes after the step.
  const step = async (work, is) => {
    out.length = 0
    await work()
    await sleep(60)
    const found = out.find(is)
    if (!found) throw new Error('nothing of the kind: ' + out.map(hex).join(' '))
    return hex(found)
  }
  const type = (n) => (b) => b[2] === n && b[3] === 0
  const steps = {}
  steps.data = await step(async () => stream.write(Buffer.from('hello')), (b) => b[2] === 1 && b[3] === 0)
  steps.ack_of_data = await step(async () => {
    await send(packet(0, 0, 0, 1))
    await send(packet(1, 0, 0, 1, Buffer.from('abc')))
  }, type(0))
  // 1 is missing: 2 and 3, then 5.
  steps.sack = await step(async () => {
    await send(packet(1, 0, 2, 1, Buffer.from('c')))
    await send(packet(1, 0, 3, 1, Buffer.from('d')))
    await send(packet(1, 0, 5, 1, Buffer.from('f')))
  }, (b) => b[2] === 4 && b.length === 20 + 16)
  steps.ack_of_all = await step(async () => {
    await send(packet(1, 0, 1, 1, Buffer.from('b')))
    await send(packet(1, 0, 4, 1, Buffer.from('e')))
  }, (b) => b[2] === 0 && b.readUInt32LE(16) === 6)
  steps.end_after_all = await step(async () => stream.end(), (b) => (b[2] & 2) !== 0)
  // Others, to the same receiver, that nobody has written to.
  const fresh = (id) => {
    const other = udx.createStream(id)
    other.on('error', () => {})
    other.connect(socket, 0x01020304, peer.address().port, '127.0.0.1')
    return other
  }
  const ending = fresh(7)
  await step(async () => ending.write(Buffer.from('hello')), (b) => b[2] === 1 && b[3] === 0)
  steps.end = await step(async () => ending.end(), (b) => (b[2] & 2) !== 0 && b.readUInt32LE(16) === 0)
  steps.destroy = await step(async () => fresh(8).destroy(), (b) => (b[2] & 16) !== 0)
  console.log(JSON.stringify({ version: require('udx-native/package.json').version, local_id: 1, remote_id: 0x01020304, steps }, null, 1))
  process.exit(0)
}
main()
