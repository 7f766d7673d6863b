// Records rooms that npm autobase kept: everybody's log, and the system core and the view that came of them.
// Run in a folder with `autobase` and `corestore` installed: node autobase-rooms.js > ../autobase/rooms.json
//
// A member appends JSON: {add, indexer} and {remove} change who may write, anything else goes into the view `log` as it is. Of each room:
// `logs`, the blocks of each writer with the public key that signs them; `system`, [block, key, value] for each block of the system core
// up to what stands, key and value those that its bee put there; `view`, the view's blocks up to what stands; `keys`, those of system core
// and view in the end; `digests`, the system cores' keys that the logs name.
const c = require('compact-encoding')
const fs = require('fs')
const os = require('os')
const path = require('path')
const Autobase = require('autobase')
const Corestore = require('corestore')
const Hyperbee = require('hyperbee')

const hex = (b) => (b ? Buffer.from(b).toString('hex') : null)
let state = 7
function random (n) { // mulberry32
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % n
}

const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'autobase-rooms-'))
let folders = 0

async function apply (nodes, view, host) {
  for (const { value } of nodes) {
    if (value.add) await host.addWriter(Buffer.from(value.add, 'hex'), { indexer: value.indexer })
    else if (value.remove) {
      const key = Buffer.from(value.remove, 'hex')
      if (host.removeable(key)) await host.removeWriter(key)
    } else await view.append(JSON.stringify(value))
  }
}

async function member (key, encryptionKey) {
  const store = new Corestore(path.join(temporary, String(folders++)), { primaryKey: Buffer.alloc(32, folders), unsafe: true })
  const base = new Autobase(store, key, { valueEncoding: 'json', encryptionKey, ackInterval: 0, fastForward: false, open: (s) => s.get('log'), apply })
  base.on('error', (error) => { console.error(error); process.exit(1) })
  await base.ready()
  return base
}

function connect (a, b) {
  const [one, other] = [a.replicate(true), b.replicate(false)]
  one.pipe(other).pipe(one)
  const quiet = () => {}
  one.on('error', quiet); other.on('error', quiet)
  return () => Promise.all([one, other].map((s) => new Promise((resolve) => { s.once('close', resolve); s.destroy() })))
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const same = (bases) => new Set(bases.map((b) => JSON.stringify(b.heads().map((h) => [hex(h.key), h.length])) + hex(b.core.key))).size === 1

// Connects these until they have the same, `acks` times over with the indexers saying what they saw.
async function sync (bases, acks) {
  const ends = []
  for (let i = 1; i < bases.length; i++) ends.push(connect(bases[0], bases[i]))
  for (let round = 0; round <= acks; round++) {
    for (let tries = 0; tries < 200; tries++) {
      for (const b of bases) await b.update()
      if (same(bases)) break
      await sleep(10)
    }
    if (round < acks) for (const b of bases) { await b.ack(); await sleep(5) }
  }
  for (const end of ends) await end()
}

async function room (seed) {
  state = seed
  const encryptionKey = seed % 2 ? Buffer.alloc(32, seed) : undefined
  const bases = [await member(null, encryptionKey)]
  const n = 2 + random(3)
  for (let i = 1; i < n; i++) bases.push(await member(bases[0].key, encryptionKey))
  await bases[0].append({ text: 'first' })
  let invited = 1
  const steps = 10 + random(14)
  for (let step = 0; step < steps; step++) {
    const writers = bases.filter((b) => b.writable)
    const one = writers[random(writers.length)]
    const what = random(10)
    if (what < 2 && invited < n) await bases[0].append({ add: hex(bases[invited++].local.key), indexer: random(3) > 0 })
    else if (what < 5) await sync(bases.filter((b) => b === one || random(3) > 0), random(4))
    else if (what === 5 && n > 2 && step > 8 && random(3) === 0) await one.append({ remove: hex(bases[1 + random(n - 1)].local.key) })
    else if (what === 6) {
      const batch = one.batch()
      for (let i = 0; i < 3; i++) await batch.append({ batch: [step, i] })
      await batch.flush()
    } else await one.append({ text: `${step} of ${bases.indexOf(one)}` })
  }
  await sync(bases, 4)
  await sync(bases, 2)
  const [first] = bases
  const length = first.indexedLength
  const logs = []
  for (const b of bases) {
    const blocks = []
    for (let i = 0; i < b.local.length; i++) blocks.push(hex(await b.local.get(i, { valueEncoding: 'binary' })))
    logs.push({ key: hex(b.local.key), public_key: hex(b.local.manifest.signers[0].publicKey), namespace: hex(b.local.manifest.signers[0].namespace), blocks })
  }
  const state2 = first._applyState
  const core = state2.systemView.core
  const bee = new Hyperbee(core.session(), { keyEncoding: 'binary', valueEncoding: 'binary', extension: false })
  const system = []
  for (let i = 0; i < length; i++) {
    const raw = hex(await core.get(i, { valueEncoding: 'binary' }))
    if (i === 0) { system.push([raw, null, null]); continue }
    const { key, value } = await bee.getBySeq(i)
    system.push([raw, hex(key), hex(value)])
  }
  const info = await state2.system.getIndexedInfo(length)
  const view = [], log = first.view, stands = info.views.length ? info.views[0].length : 0
  for (let i = 0; i < stands; i++) view.push(hex(await log.get(i, { valueEncoding: 'binary' })))
  const digests = []
  for (const l of logs) for (const b of l.blocks) { const m = c.decode(require(path.join(path.dirname(require.resolve('autobase')), 'lib', 'messages.js')).OplogMessage, Buffer.from(b, 'hex')); if (m.digest && m.digest.key) digests.push(hex(m.digest.key)) }
  const out = {
    key: hex(first.key), encryption_key: hex(encryptionKey), signed: first.core.signedLength, logs, system, view,
    keys: [hex(core.key), info.views.length ? hex(info.views[0].key) : null], manifests: [hex(c.encode(require('hypercore/lib/messages').manifest, core.core.header.manifest))], digests: [...new Set(digests)]
  }
  for (const b of bases) await b.close()
  return out
}

async function main () {
  const rooms = []
  // Rooms in which indexers come, go and sign, in many orders. A number on the command line records that many others.
  const some = [3, 7, 10, 11, 22, 27, 32, 41, 46, 52, 58]
  const seeds = process.argv[2] ? [...new Array(Number(process.argv[2])).keys()].map((n) => n + 1) : some
  for (const seed of seeds) rooms.push(await room(seed))
  process.stderr.write(rooms.map((r) => `${r.system.length} blocks stand, ${r.signed} signed, ${r.digests.length} system cores\n`).join(''))
  console.log(`{"version":"${require('autobase/package.json').version}","rooms":[\n${rooms.map((r) => JSON.stringify(r)).join(',\n')}\n]}`)
  fs.rmSync(temporary, { recursive: true })
  process.exit(0)
}
main()
