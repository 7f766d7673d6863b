// Records DHT messages as npm dht-rpc and hyperdht write them: node dht.js > ../dht/messages.json
// Run where those packages are installed (tests/interop).
const c = require('compact-encoding')
const b4a = require('b4a')
const IO = require('dht-rpc/lib/io')
const peer = require('dht-rpc/lib/peer')
const m = require('hyperdht/lib/messages')
const Persistent = require('hyperdht/lib/persistent')
const SecurePayload = require('hyperdht/lib/secure-payload')
const NoiseWrap = require('hyperdht/lib/noise-wrap')
const { NS } = require('hyperdht/lib/constants')
const DHT = require('hyperdht')

const fill = (n, size = 32) => b4a.alloc(size, n)
const hex = (b) => b4a.toString(b, 'hex')
const at = (host, port) => ({ host, port })
const a1 = at('1.2.3.4', 5678)
const a2 = at('10.77.0.1', 49737)

// An IO without sockets: what it sends is kept.
function fakeIO (ephemeral) {
  const sent = []
  const socket = { trySend: (buffer) => sent.push(hex(buffer)) }
  const io = Object.create(IO.prototype)
  Object.assign(io, {
    table: { id: fill(1), closest: () => [at('9.8.7.6', 1), at('5.4.3.2', 65535)] },
    ephemeral, firewalled: false, serverSocket: socket, clientSocket: null, inflight: [], suspended: false,
    congestion: { isFull: () => false, send () {}, recv () {} },
    stats: { requests: { active: 0, total: 0 }, commands: [0, 1, 2, 3].map(() => ({ tx: 0, rx: 0 })) },
    _tid: 0x1234, _secrets: [fill(2), fill(3)], _destroying: null, _adt: null
  })
  return { io, sent, socket }
}

function request (ephemeral, token, internal, command, target, value) {
  const { io, sent } = fakeIO(ephemeral)
  const req = io.createRequest({ id: null, ...a1 }, token, internal, command, target, value, null, 0)
  req.send()
  clearTimeout(req._timeout)
  return { hex: sent[0], tid: 0x1234, to: '1.2.3.4:5678', id: ephemeral ? null : hex(fill(1)), token: token && hex(token), internal, command, target: target && hex(target), value: value && hex(value) }
}

function reply (ephemeral, error, value, token, closer) {
  const { io, sent, socket } = fakeIO(ephemeral)
  io.onrequest = (req) => req.sendReply(error, value, token, closer)
  const asked = request(true, null, false, 3, fill(7), null)
  io.onmessage(socket, b4a.from(asked.hex, 'hex'), a2)
  return { hex: sent[0], tid: 0x1234, to: '10.77.0.1:49737', id: ephemeral ? null : hex(fill(1)), token: token ? hex(io.token(a2, 1)) : null, closer: closer ? ['9.8.7.6:1', '5.4.3.2:65535'] : [], error, value: value && hex(value) }
}

const keyPair = DHT.keyPair(fill(4))
const relays = [a1, a2]
const announce = { peer: { publicKey: keyPair.publicKey, relayAddresses: relays }, refresh: null, signature: null, bump: 0 }
const refreshed = { ...announce, refresh: fill(8) }
const sign = (fn, ann) => hex(fn(fill(5), fill(6), fill(7), ann, keyPair))
const enc = (e, v) => hex(c.encode(e, v))

const payload = {
  error: 0, firewall: 2, holepunch: { id: 300, relays: [{ relayAddress: a1, peerAddress: a2 }] }, addresses4: relays, addresses6: [],
  udx: { reusableSocket: true, id: 0xfedcba98, seq: 0 }, secretStream: {}, relayThrough: null, relayAddresses: [a2]
}
const secure = new SecurePayload(fill(9))
const punch = { error: 0, firewall: 3, round: 2, connected: false, punching: true, addresses: relays, remoteAddress: a1, token: fill(10), remoteToken: fill(11) }

// A handshake between two keys of known seeds.
const client = new NoiseWrap(DHT.keyPair(fill(12)), DHT.keyPair(fill(13)).publicKey)
const first = client.send(payload)

console.log(JSON.stringify({
  versions: { 'dht-rpc': require('dht-rpc/package.json').version, hyperdht: require('hyperdht/package.json').version },
  node_id: { address: '1.2.3.4:5678', id: hex(peer.id(a1.host, a1.port)) },
  requests: [
    request(true, null, true, 0, null, null), request(false, null, true, 2, fill(7), null), request(true, null, true, 1, null, b4a.from([0x49, 0xc2])),
    request(false, fill(6), false, 4, fill(7), fill(255, 300)), request(true, null, false, 0, fill(7), b4a.from('hello'))
  ],
  replies: [reply(true, 0, null, false, false), reply(false, 0, null, true, true), reply(false, 0, fill(255, 300), true, true), reply(true, 1, null, false, true), reply(false, 2, null, true, true)],
  namespaces: { announce: hex(NS.ANNOUNCE), unannounce: hex(NS.UNANNOUNCE), mutable_put: hex(NS.MUTABLE_PUT), peer_handshake: hex(NS.PEER_HANDSHAKE), peer_holepunch: hex(NS.PEER_HOLEPUNCH) },
  handshakes: [
    { mode: 0, noise: '0102', peer: null, relay: null, hex: enc(m.handshake, { mode: 0, noise: b4a.from([1, 2]), peerAddress: null, relayAddress: null }) },
    { mode: 3, noise: '0102', peer: '1.2.3.4:5678', relay: '10.77.0.1:49737', hex: enc(m.handshake, { mode: 3, noise: b4a.from([1, 2]), peerAddress: a1, relayAddress: a2 }) }
  ],
  holepunch: { mode: 2, id: 300, payload: '0102', peer: '1.2.3.4:5678', hex: enc(m.holepunch, { mode: 2, id: 300, payload: b4a.from([1, 2]), peerAddress: a1 }) },
  noise_payloads: [enc(m.noisePayload, payload), enc(m.noisePayload, { error: 1, firewall: 0, holepunch: null, addresses4: [], addresses6: [], udx: null, secretStream: null, relayThrough: null, relayAddresses: null })],
  announce: {
    seed: hex(fill(4)), target: hex(fill(5)), token: hex(fill(6)), id: hex(fill(7)), relays: ['1.2.3.4:5678', '10.77.0.1:49737'], refresh: hex(fill(8)), bump: 77,
    announce_signature: sign(Persistent.signAnnounce, announce), refresh_signature: sign(Persistent.signAnnounce, refreshed), unannounce_signature: sign(Persistent.signUnannounce, announce),
    hex: enc(m.announce, { ...refreshed, signature: fill(14, 64), bump: 77 }), record: enc(m.peer, announce.peer),
    lookup: enc(m.lookupRawReply, { peers: [c.encode(m.peer, announce.peer), c.encode(m.peer, announce.peer)], bump: 77 })
  },
  mutable: { seq: 3, value: '0102', signature: hex(Persistent.signMutable(3, b4a.from([1, 2]), keyPair)), put: enc(m.mutablePutRequest, { publicKey: keyPair.publicKey, seq: 3, value: b4a.from([1, 2]), signature: fill(14, 64) }) },
  // sealed with the shared secret itself, which in life is derived from the handshake hash
  secure_payload: { shared_secret: hex(fill(9)), sealed: hex(secure.encrypt(punch)) },
  noise: { client_seed: hex(fill(12)), server_seed: hex(fill(13)), first: hex(first) }
}, null, 1))
