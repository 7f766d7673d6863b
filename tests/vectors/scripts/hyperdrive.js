// Records the blocks that npm hyperdrive writes: entries (bee) and contents (blobs), block maps, derived keys.
// Run in a folder with `hyperdrive`, `corestore` and `localdrive` installed: node hyperdrive.js > ../hyperdrive/drive.json
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')
const Hypercore = require('hypercore')
const crypto = require('hypercore-crypto')
const blockMap = require('hyperblobs/lib/block-map')
const fs = require('fs')
const os = require('os')
const path = require('path')

// Content that both sides can make: byte i of file n.
const made = []
const bytes = (n, length) => {
  const content = Buffer.from(Array.from({ length }, (_, i) => (i * 7 + n * 13 + (i >> 8)) & 255))
  made.push(Object.assign(content, { n }))
  return content
}

// A block of content is recorded as where it comes from: ["content", n, start, end]; any other block as hex.
function source (block) {
  for (const content of made) {
    for (let start = 0; start < content.length; start += 65536) {
      const part = content.subarray(start, start + block.length)
      if (block.length > 0 && part.equals(block)) return ['content', content.n, start, start + block.length]
    }
  }
  return block.toString('hex')
}

const steps = [
  ['put', '/package.json', bytes(1, 300), {}],
  ['put', '/empty', bytes(2, 0), {}],
  ['put', '/bin/run', bytes(3, 70000), { executable: true }],
  ['put', '/meta', bytes(4, 10), { metadata: { mtime: 12, tags: ['ä', '"q"', '\n'], nested: { z: 1, a: null } } }],
  ['symlink', '/link', '/bin/run'],
  ['symlink', '/bin/up', '../package.json'],
  ['put', '/package.json', bytes(5, 301), {}],
  ['del', '/empty'],
  ['batch', [['put', '/b/1', bytes(6, 5), {}], ['put', '/b/2', bytes(7, 131072), {}], ['del', '/meta'], ['symlink', '/b/3', '1']]],
  ['dedup', '/big', [bytes(8, 2000), bytes(9, 3000), bytes(8, 2000), bytes(10, 4000)]],
  ['dedup', '/big', [bytes(8, 2000), bytes(11, 3100), bytes(10, 4000)]]
]

async function run (drive, [op, name, value, opts]) {
  if (op === 'put') await drive.put(name, value, opts)
  else if (op === 'symlink') await drive.symlink(name, value)
  else if (op === 'del') await drive.del(name)
  else if (op === 'batch') {
    const batch = drive.batch()
    for (const step of name) await run(batch, step)
    await batch.flush()
  } else {
    // Every write is one chunk: what a chunker would hand over.
    const ws = drive.createWriteStream(name, { dedup: true })
    for (const chunk of value) ws.write(chunk)
    ws.end()
    await new Promise((resolve, reject) => ws.on('close', resolve).on('error', reject))
  }
}

const json = (step) => step.map((v) => Buffer.isBuffer(v) ? ['content', v.n, 0, v.length] : Array.isArray(v) ? json(v) : v)

async function main () {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'drive-'))
  const store = new Corestore(dir)
  const keyPair = crypto.keyPair(Buffer.alloc(32, 1))
  const manifest = { version: 1, signers: [{ publicKey: keyPair.publicKey }] }
  const core = store.get({ keyPair, manifest })
  await core.ready()
  const key = core.key
  await core.close()
  const drive = new Hyperdrive(store, key)
  await drive.ready()
  if (!drive.writable) throw new Error('not writable')
  for (const step of steps) await run(drive, step)
  const blobs = (await drive.getBlobs()).core
  const dump = async (core, show) => {
    const blocks = []
    for (let i = 0; i < core.length; i++) blocks.push(show(await core.get(i)))
    return blocks
  }
  const entries = []
  for await (const e of drive.list('/')) entries.push(e)
  const maps = [
    [],
    [[0, 1], [252, 253], [65535, 65536], [4294967295, 4294967296], [70000, 524288]],
    [...Array(8200).keys()].map((i) => [i * 3, 65536 + i])
  ].map((pairs) => {
    const blocks = pairs.map(([index, byteLength]) => ({ index, byteLength }))
    const encoded = blockMap.encode({ blocks })
    return { count: pairs.length, pairs: pairs.length > 10 ? 'i*3,65536+i' : pairs, hash: encoded.map((b) => crypto.hash(b).toString('hex')), hex: pairs.length > 10 ? null : encoded.map((b) => b.toString('hex')) }
  })
  const version = require('hyperdrive/package.json').version
  console.log(JSON.stringify({
    package: 'hyperdrive@' + version,
    seed: '01'.repeat(32),
    key: drive.key.toString('hex'),
    contentKey: blobs.key.toString('hex'),
    steps: steps.map(json),
    db: await dump(drive.core, (block) => block.toString('hex')),
    blobs: await dump(blobs, source),
    blobsLength: await drive.getBlobsLength(),
    entries,
    maps,
    contentNamespace: Hyperdrive.getContentManifest(drive.core.manifest, drive.key).signers[0].namespace.toString('hex')
  }))
  await drive.close()
  fs.rmSync(dir, { recursive: true })
}
main()
