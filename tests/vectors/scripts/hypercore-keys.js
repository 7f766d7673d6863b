// Records hashes, namespaces and signed bytes of npm hypercore and hypercore-crypto.
// Run in a folder with `hypercore` installed: node hypercore-keys.js > ../hypercore/keys.json
const path = require('path')
const crypto = require('hypercore-crypto')

const lib = path.join(path.dirname(require.resolve('hypercore')), 'lib')
const caps = require(path.join(lib, 'caps.js'))

const hex = (b) => Buffer.from(b).toString('hex')
const fill = (n, size = 32) => Buffer.alloc(size, n)
const nodes = [{ index: 1, size: 70000, hash: fill(1) }, { index: 5, size: 3, hash: fill(2) }, { index: 8, size: 0, hash: fill(3) }]

console.log(JSON.stringify({
  versions: { hypercore: require('hypercore/package.json').version, 'hypercore-crypto': require('hypercore-crypto/package.json').version },
  discovery_keys: [1, 2].map((n) => ({ key: hex(fill(n)), discovery_key: hex(crypto.discoveryKey(fill(n))) })),
  key_pair: { seed: hex(fill(4)), public_key: hex(crypto.keyPair(fill(4)).publicKey), secret_key: hex(crypto.keyPair(fill(4)).secretKey) },
  leaves: [0, 1, 300].map((length) => ({ length, hash: hex(crypto.data(fill(7, length))) })),
  parent: hex(crypto.parent(nodes[0], nodes[1])),
  tree: hex(crypto.tree(nodes)),
  empty_tree: hex(crypto.tree([])),
  nodes: nodes.map(({ index, size, hash }) => ({ index, size, hash: hex(hash) })),
  namespaces: crypto.namespace('hypercore', 6).map(hex),
  others: { manifest: hex(caps.MANIFEST), default_namespace: hex(caps.DEFAULT_NAMESPACE) },
  capabilities: [true, false].map((initiator) => hex(caps.replicate(initiator, fill(3), fill(5, 64)))),
  signables: [[0, 0], [1, 0], [70000, 3], [2 ** 40, 2 ** 33]].map(([length, fork]) => ({
    length, fork, context: hex(fill(8)), hash: hex(fill(9)),
    signable: hex(caps.treeSignable(fill(8), fill(9), length, fork)), compat: hex(caps.treeSignableCompat(fill(9), length, fork))
  }))
}, null, 1))
