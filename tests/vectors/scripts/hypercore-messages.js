// Records the wire messages and replication capabilities of npm hypercore.
// Run in a folder with `hypercore` installed: node hypercore-messages.js > ../hypercore/messages.json
const c = require('compact-encoding')
const path = require('path')

// Not in the package's exports, so they are found beside its entry.
const lib = path.join(path.dirname(require.resolve('hypercore')), 'lib')
const { wire } = require(path.join(lib, 'messages.js'))
const caps = require(path.join(lib, 'caps.js'))

const fill = (byte) => Buffer.alloc(32, byte)
const node = (index) => ({ index, size: 300 * index, hash: fill(index) })
const empty = { block: null, hash: null, seek: null, upgrade: null, manifest: null }
const sync = { fork: 2, length: 70000, remoteLength: 300 }
const flags = { canUpgrade: false, uploading: false, downloading: false, hasManifest: false, allowPush: false }

const messages = {
  handshake: [wire.handshake, { seeks: true, capability: fill(9) }],
  requestBlock: [wire.request, { id: 1, fork: 0, ...empty, block: { index: 300, nodes: 4 }, manifest: false, priority: 0 }],
  requestAll: [
    wire.request,
    {
      id: 70000,
      fork: 3,
      block: { index: 5, nodes: 2 },
      hash: { index: 6, nodes: 1 },
      seek: { bytes: 5000000000, padding: 1 },
      upgrade: { start: 0, length: 1000 },
      manifest: true,
      priority: 2
    }
  ],
  cancel: [wire.cancel, { request: 254 }],
  dataBlock: [wire.data, { request: 1, fork: 0, ...empty, block: { index: 4, value: Buffer.from('block'), nodes: [node(1), node(2)] } }],
  dataProofs: [
    wire.data,
    {
      request: 300,
      fork: 1,
      block: null,
      hash: { index: 7, nodes: [node(3)] },
      seek: { bytes: 900, nodes: [] },
      upgrade: { start: 2, length: 9, nodes: [node(5)], additionalNodes: [node(6)], signature: Buffer.alloc(64, 8) },
      manifest: null
    }
  ],
  noData: [wire.noData, { request: 300, reason: 2 }],
  want: [wire.want, { start: 2097152, length: 2097152, any: false }],
  wantAny: [wire.want, { start: 1, length: 2, any: true }],
  bitfield: [wire.bitfield, { start: 32, bitfield: new Uint32Array([1, 0xdeadbeef]) }],
  rangeOne: [wire.range, { drop: false, start: 9, length: 1 }],
  rangeDrop: [wire.range, { drop: true, start: 9, length: 500 }],
  syncBare: [wire.sync, { ...sync, ...flags }],
  syncFull: [wire.sync, { ...sync, canUpgrade: true, uploading: true, downloading: true, hasManifest: true, allowPush: true }]
}

const encoded = Object.entries(messages).map(([name, [codec, m]]) => [name, c.encode(codec, m).toString('hex')])
const hash = Buffer.alloc(64, 5)
const capability = [true, false].map((isInitiator) => caps.replicate(isInitiator, fill(3), hash).toString('hex'))
console.log(JSON.stringify({ messages: Object.fromEntries(encoded), capability }, null, 1))
