// Records keys, targets and the rarer messages as npm hyperdht and dht-rpc make them: node dht-keys.js > ../dht/keys.json
// Run where those packages are installed (tests/interop). The ephemeral keys are given, so that the transcript can be replayed.
const c = require('compact-encoding')
const b4a = require('b4a')
const sodium = require('sodium-universal')
const curve = require('noise-curve-ed')
const crypto = require('hypercore-crypto')
const DHT = require('hyperdht')
const Persistent = require('hyperdht/lib/persistent')
const SecurePayload = require('hyperdht/lib/secure-payload')
const NoiseWrap = require('hyperdht/lib/noise-wrap')
const SecretStream = require('@hyperswarm/secret-stream')
const m = require('hyperdht/lib/messages')

const fill = (n, size = 32) => b4a.alloc(size, n)
const hex = (b) => b4a.toString(b, 'hex')
const at = (host, port) => ({ host, port })
const a1 = at('1.2.3.4', 5678)
const a2 = at('10.77.0.1', 49737)
const enc = (e, v) => hex(c.encode(e, v))
const hash = (b) => {
  const out = b4a.alloc(32)
  sodium.crypto_generichash(out, b)
  return hex(out)
}

const seeds = { client: 12, server: 13, client_ephemeral: 14, server_ephemeral: 15 }
const clientKeys = DHT.keyPair(fill(seeds.client))
const serverKeys = DHT.keyPair(fill(seeds.server))
const client = new NoiseWrap(clientKeys, serverKeys.publicKey)
const server = new NoiseWrap(serverKeys, null)
client.handshake.e = curve.generateKeyPair(fill(seeds.client_ephemeral))
server.handshake.e = curve.generateKeyPair(fill(seeds.server_ephemeral))
const offer = {
  error: 0, firewall: 2, holepunch: null, addresses4: [a1], addresses6: [],
  udx: { reusableSocket: true, id: 7, seq: 0 }, secretStream: {}, relayThrough: null, relayAddresses: null
}
const answer = {
  error: 0, firewall: 3, holepunch: { id: 300, relays: [{ relayAddress: a1, peerAddress: a2 }] }, addresses4: [a1, a2], addresses6: [],
  udx: { reusableSocket: false, id: 0xfedcba98, seq: 0 }, secretStream: {}, relayThrough: null, relayAddresses: [a2]
}
// The packages wipe the ephemeral key inside a message they took, so they get a copy.
const first = b4a.from(client.send(offer))
server.recv(b4a.from(first))
const second = b4a.from(server.send(answer))
client.recv(b4a.from(second))
const a = client.final()
const b = server.final()
if (!b4a.equals(a.holepunchSecret, b.holepunchSecret)) throw new Error('the secrets differ')

const punch = { error: 0, firewall: 3, round: 2, connected: false, punching: true, addresses: [a1, a2], remoteAddress: a1, token: fill(10), remoteToken: fill(11) }
const bare = { error: 1, firewall: 0, round: 252, connected: true, punching: false, addresses: null, remoteAddress: null, token: null, remoteToken: null }

// What a peer that knows more than we do puts into its payload.
const rich = {
  ...answer, addresses6: [at('2001:db8::1', 99)], relayThrough: { publicKey: fill(20), token: fill(21) }
}
const value = b4a.from('a value on the DHT')
const owner = DHT.keyPair(fill(4))

console.log(JSON.stringify({
  versions: { 'dht-rpc': require('dht-rpc/package.json').version, hyperdht: require('hyperdht/package.json').version },
  handshake: {
    seeds: Object.fromEntries(Object.entries(seeds).map(([k, v]) => [k, hex(fill(v))])),
    first: hex(first), second: hex(second), hash: hex(a.hash), client_tx: hex(a.tx), client_rx: hex(a.rx),
    client_stream_id: hex(b.remoteId), server_stream_id: hex(a.remoteId),
    stream_ids_of_the_hash: [true, false].map((initiator) => hex(SecretStream.id(a.hash, initiator))),
    holepunch_secret: hex(a.holepunchSecret),
    sealed_by_client: hex(new SecurePayload(a.holepunchSecret).encrypt(punch)),
    sealed_by_server: hex(new SecurePayload(b.holepunchSecret).encrypt(bare))
  },
  holepunch_payloads: [enc(m.holepunchPayload, punch), enc(m.holepunchPayload, bare)],
  rich_noise_payload: enc(m.noisePayload, rich),
  holepunch_from_client: enc(m.holepunch, { mode: 0, id: 70000, payload: fill(1, 300), peerAddress: null }),
  handshake_answers: [
    enc(m.handshake, { mode: 1, noise: b4a.from([1]), peerAddress: a1, relayAddress: null }),
    enc(m.handshake, { mode: 2, noise: b4a.from([2]), peerAddress: null, relayAddress: a2 }),
    enc(m.handshake, { mode: 4, noise: fill(3, 300), peerAddress: a2, relayAddress: null })
  ],
  targets: { public_key: hex(owner.publicKey), server: hash(owner.publicKey), value: hex(value), immutable: hash(value) },
  key_pair: { seed: hex(fill(4)), public_key: hex(owner.publicKey) },
  namespace: { name: 'hyperswarm/dht', first: hex(crypto.namespace('hyperswarm/dht', 1)[0]) },
  refresh: { secret: hex(fill(8)), hash: hash(fill(8)), announce: enc(m.announce, { peer: null, refresh: fill(8), signature: null, bump: 0 }) },
  mutable: {
    seq: 70000, value: hex(value), signable: enc(m.mutableSignable, { seq: 70000, value }),
    signature: hex(Persistent.signMutable(70000, value, owner)),
    get: enc(m.mutableGetResponse, { seq: 70000, value, signature: fill(14, 64) })
  }
}, null, 1))
