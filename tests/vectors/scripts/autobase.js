// Records messages and encrypted blocks of npm autobase.
// Run in a folder with `autobase` installed: node autobase.js > ../autobase/messages.json
const c = require('compact-encoding')
const crypto = require('hypercore-crypto')
const path = require('path')

const lib = path.join(path.dirname(require.resolve('autobase')), 'lib')
const m = require(path.join(lib, 'messages.js'))
const caps = require(path.join(lib, 'caps.js'))
const SystemView = require(path.join(lib, 'system.js'))
const { EncryptionView } = require(path.join(lib, 'encryption.js'))

const hex = (b) => (b ? Buffer.from(b).toString('hex') : null)
const fill = (n, size = 32) => Buffer.alloc(size, n)
const head = (n, length) => ({ key: fill(n), length })
const plain = (v) => {
  if (Buffer.isBuffer(v) || v instanceof Uint8Array) return hex(v)
  if (Array.isArray(v)) return v.map(plain)
  if (v && typeof v === 'object') return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, plain(x)]))
  return v === undefined ? null : v
}

const signed = (n, length) => ({ checkpointer: 0, checkpoint: { signature: fill(n, 64), length } })
const back = (n) => ({ checkpointer: n, checkpoint: null })
const oplogs = [
  { node: { heads: [], batch: 1, value: fill(1, 3) } },
  { node: { heads: [head(1, 1), head(2, 300), head(3, 70000)], batch: 2, value: null } },
  { node: { heads: [head(9, 5)], batch: 300, value: Buffer.alloc(0) }, optimistic: true },
  { node: { heads: [head(9, 5)], batch: 1, value: fill(7, 300) }, digest: { pointer: 0, key: fill(4) } },
  { node: { heads: [], batch: 1, value: null }, digest: { pointer: 77, key: null }, checkpoint: { system: null, encryption: null, user: null } },
  { node: { heads: [], batch: 1, value: null }, digest: { pointer: 1, key: null }, checkpoint: { system: signed(1, 20), encryption: signed(2, 0), user: [signed(3, 7), back(300)] } },
  { node: { heads: [], batch: 1, value: null }, checkpoint: { system: back(3), encryption: null, user: [] } },
  { node: { heads: [head(1, 2)], batch: 1, value: fill(2, 2) }, trace: { system: [1, 2, 300], encryption: [], user: [{ view: 0, blocks: [0] }, { view: 3, blocks: [] }] } },
  { node: { heads: [head(1, 2)], batch: 1, value: fill(2, 2) }, optimistic: true, digest: { pointer: 0, key: fill(5) }, checkpoint: { system: signed(1, 20), encryption: null, user: null }, trace: { system: [], encryption: [9], user: [] } }
].map((o) => ({ version: 2, checkpoint: null, digest: null, optimistic: false, trace: null, ...o }))

// What older versions wrote, put together by hand: npm reads these and writes them no more.
function bytes (...parts) {
  return Buffer.concat(parts.map((p) => (typeof p === 'number' ? c.encode(c.uint, p) : p)))
}
const node = bytes(2, fill(1), 1, fill(2), 300, 1, 3, fill(6, 3))
const legacy = [
  bytes(0, 0, node, 1),
  bytes(0, 0, node, 0, 0, 5),
  bytes(0, 0, node, 0, 3, fill(8), 4, 1),
  bytes(0, 1, 0, 2, 0, fill(1), fill(2), 0, fill(3), fill(4), 3, 0, fill(5, 64), 20, 7, 0, fill(6, 64), 1, node, 1, 1),
  bytes(0, 1, 9, 0, node, 2),
  bytes(1, 1, 0, node),
  bytes(1, 1, 2, node),
  bytes(1, 2, 1, 2, 0, fill(5, 64), 20, 7, 0, fill(9), node),
  bytes(1, 2, 3, 1, 3, 12, node)
]

const infos = [
  { version: 0, members: 0, pendingIndexers: [], indexers: [], heads: [], views: [], encryptionLength: 0, entropy: null },
  { version: 1, members: 3, pendingIndexers: [fill(1)], indexers: [head(2, 4)], heads: [head(2, 4), head(3, 300)], views: [head(5, 9)], encryptionLength: 0, entropy: null },
  { version: 2, members: 3, pendingIndexers: [], indexers: [head(2, 4)], heads: [head(2, 4)], views: [], encryptionLength: 0, entropy: null },
  { version: 2, members: 300, pendingIndexers: [fill(1), fill(2)], indexers: [], heads: [], views: [head(1, 2)], encryptionLength: 300, entropy: fill(8) }
]
const members = [[false, false, 0], [true, false, 3], [false, true, 300], [true, true, 70000]].map(([isIndexer, isRemoved, length]) => ({ isIndexer, isRemoved, length }))
const manifests = [{ version: 0, legacyBlocks: 0, namespace: null }, { version: 0, legacyBlocks: 5, namespace: null }, { version: 1, legacyBlocks: 300, namespace: fill(3) }]
const descriptors = [{ type: 0, payload: fill(4) }, { type: 1, payload: null }]

// Blocks of writers and views, under manifests old and new.
async function ciphers () {
  const bootstrap = fill(10), encryptionKey = fill(11)
  const entropies = [fill(12), fill(13)]
  const out = []
  for (const length of [0, 1, 2]) {
    const core = { length, ready () {}, get: (i) => c.encode(m.EncryptionDescriptor, { type: 0, payload: entropies[i] }) }
    const view = new EncryptionView({ bootstrap, encryptionKey }, core)
    for (const manifest of [
      { version: 1, userData: null },
      { version: 2, userData: null },
      { version: 2, userData: c.encode(m.ManifestData, { version: 0, legacyBlocks: 3, namespace: null }) },
      { version: 2, userData: c.encode(m.ManifestData, { version: 0, legacyBlocks: 0, namespace: fill(14) }) }
    ]) {
      for (const name of ['_system', 'view', null]) {
        const encryption = name === null ? view.getWriterEncryption() : view.getViewEncryption(name)
        const ctx = { key: fill(15), manifest }
        for (const [index, fork, size] of [[0, 0, 20], [2, 1, 0], [3, 0, 100], [300, 2, 65]]) {
          if (size === 0 && length > 0) continue
          const block = Buffer.concat([Buffer.alloc(8), fill(index % 250, size)])
          // A fresh one each: npm remembers the keys of the first core that it meets.
          const one = name === null ? view.getWriterEncryption() : encryption
          await one.encrypt(index, block, fork, ctx)
          out.push({ learned: length, manifest: manifest.version, user_data: hex(manifest.userData), name, index, fork, plain: size, stored: hex(block) })
        }
      }
    }
  }
  return { bootstrap: hex(bootstrap), encryption_key: hex(encryptionKey), entropies: entropies.map(hex), core: hex(fill(15)), blocks: out }
}

async function main () {
  const encoded = (enc, value) => ({ value: plain(c.decode(enc, c.encode(enc, value))), bytes: hex(c.encode(enc, value)) })
  console.log(JSON.stringify({
    version: require('autobase/package.json').version,
    namespaces: [caps.NS_SIGNER_NAMESPACE, caps.NS_VIEW_BLOCK_KEY, caps.NS_HASH_KEY, caps.NS_ENCRYPTION].map(hex),
    genesis_entropy: hex(SystemView.GENESIS_ENTROPY),
    keys: { info: '0000' + hex('info'), member: '0100' + hex(fill(3)) },
    oplogs: oplogs.map((o) => encoded(m.OplogMessage, o)),
    legacy: legacy.map((b) => ({ value: plain(c.decode(m.OplogMessage, b)), bytes: hex(b) })),
    infos: infos.map((i) => encoded(m.Info, i)),
    members: members.map((i) => encoded(m.Member, i)),
    manifests: manifests.map((i) => encoded(m.ManifestData, i)),
    descriptors: descriptors.map((i) => encoded(m.EncryptionDescriptor, i)),
    ciphers: await ciphers()
  }))
}
main()
