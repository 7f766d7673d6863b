// Records tests/vectors/secret-stream/vectors.json from the JavaScript packages; run it with node and
// noise-handshake, noise-curve-ed, sodium-secretstream, @hyperswarm/secret-stream and hypercore-crypto installed.
const fs = require('fs')
const path = require('path')
const Noise = require('noise-handshake')
const curve = require('noise-curve-ed')
const sodium = require('sodium-universal')
const { Push } = require('sodium-secretstream')
const SecretStream = require('@hyperswarm/secret-stream')

const hex = (b) => Buffer.from(b).toString('hex')
const seed = (n) => Buffer.alloc(32, n)

function handshake (pattern, prologue, payloads) {
  const statics = [1, 2].map((n) => curve.generateKeyPair(seed(n)))
  const sides = [true, false].map((initiator, i) => {
    const noise = new Noise(pattern, initiator, statics[i], { curve })
    noise.initialise(prologue, pattern === 'IK' && initiator ? statics[1].publicKey : null)
    noise.e = curve.generateKeyPair(seed(3 + i))
    return noise
  })
  const messages = payloads.map((payload, i) => {
    const message = sides[i % 2].send(payload)
    // The packages wipe the ephemeral key inside a message they took, so they get a copy.
    const got = sides[(i + 1) % 2].recv(Buffer.from(message))
    if (!Buffer.from(got).equals(payload)) throw new Error('payload differs')
    return { payload: hex(payload), message: hex(message) }
  })
  const [a, b] = sides
  return {
    pattern,
    prologue: hex(prologue),
    staticSeeds: [1, 2].map((n) => hex(seed(n))),
    ephemeralSeeds: [3, 4].map((n) => hex(seed(n))),
    messages,
    initiatorTx: hex(a.tx),
    initiatorRx: hex(a.rx),
    hash: hex(a.hash),
    ids: [true, false].map((i) => hex(SecretStream.id(b.hash, i)))
  }
}

const key = Buffer.alloc(32, 9)
// Random once, then fixed by being recorded.
const push = new Push(key)
const header = hex(push.header)
const frames = [0, 1, 5, 15, 16, 17, 31, 32, 40, 63, 64, 65, 200].map((length) => {
  const plain = Buffer.alloc(length)
  for (let i = 0; i < length; i++) plain[i] = (i * 7 + length) & 255
  const sealed = push.next(plain)
  return { plain: hex(plain), sealed: hex(sealed) }
})
// A message with the REKEY tag changes the key; the one after it shows the new key.
const sealed = Buffer.alloc(3 + 17)
sodium.crypto_secretstream_xchacha20poly1305_push(push.state, sealed, Buffer.from('new'), null, sodium.crypto_secretstream_xchacha20poly1305_TAG_REKEY)
const rekey = { plain: hex(Buffer.from('new')), sealed: hex(sealed) }
const after = { plain: hex(Buffer.from('key')), sealed: hex(push.next(Buffer.from('key'))) }

const out = {
  handshakes: [
    handshake('XX', Buffer.alloc(0), [Buffer.alloc(0), Buffer.alloc(0), Buffer.alloc(0)]),
    handshake('IK', Buffer.alloc(0), [Buffer.alloc(0), Buffer.alloc(0)]),
    handshake('IK', Buffer.from('a prologue'), [Buffer.from('hello'), Buffer.alloc(300, 1)])
  ],
  secretstream: { key: hex(key), header, frames, rekey, after }
}
fs.writeFileSync(path.join(__dirname, '../secret-stream/vectors.json'), JSON.stringify(out, null, 1) + '\n')
