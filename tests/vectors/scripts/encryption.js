// Records cores that npm hypercore encrypts: keys, blocks as stored, tree hashes, seeks.
// Run in a folder with `hypercore` installed: node encryption.js > ../hypercore/encryption.json
const crypto = require('hypercore-crypto')
const fs = require('fs')
const os = require('os')
const path = require('path')
const Hypercore = require('hypercore')

const DefaultEncryption = require(path.join(path.dirname(require.resolve('hypercore')), 'lib', 'default-encryption.js'))

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const fill = (n, size = 32) => Buffer.alloc(size, n)
const value = (i) => Buffer.alloc((i * 37) % 80, i + 1)
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'encryption-vectors-'))

// A core of 11 blocks under seed 1, cut to 7 and grown to 9 again, so that blocks of two forks are in it.
async function core (name, encryption) {
  const core = new Hypercore(path.join(temporary, name), { keyPair: crypto.keyPair(fill(1)), encryption })
  await core.ready()
  for (let i = 0; i < 11; i++) await core.append(value(i))
  const before = { length: core.length, tree_hash: hex(await core.treeHash()), byte_length: core.byteLength }
  await core.truncate(7)
  await core.append([value(20), value(21)])
  const stored = []
  for (let i = 0; i < core.length; i++) stored.push(hex(await core.get(i, { raw: true })))
  const seeks = []
  for (let bytes = 0; bytes < core.byteLength; bytes += 13) seeks.push([bytes, ...await core.seek(bytes)])
  const out = { key: hex(core.key), before, length: core.length, fork: core.fork, tree_hash: hex(await core.treeHash()), byte_length: core.byteLength, stored, seeks }
  await core.close()
  return out
}

async function main () {
  const key = fill(2)
  console.log(JSON.stringify({
    version: require('hypercore/package.json').version,
    encryption_key: hex(key),
    keys: [{}, { compat: true }, { block: true }].map((opts) => {
      const { block, blinding } = DefaultEncryption.deriveKeys(key, fill(3), opts)
      return { compat: !!opts.compat, is_block: !!opts.block, core: hex(fill(3)), block: hex(block), blinding: hex(blinding) }
    }),
    shared: await core('shared', { key }),
    block: await core('block', { key, block: true })
  }, null, 1))
  fs.rmSync(temporary, { recursive: true })
}
main()
