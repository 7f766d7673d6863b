// Records the blocks that npm hyperbee writes for sequences of operations.
// Run in a folder with `hyperbee` and `corestore` installed: node hyperbee.js > ../hyperbee/blocks.json
// Operation: ["put", key, value] | ["del", key]; a step is one operation, or a list of them flushed as one batch.
const Corestore = require('corestore')
const Hyperbee = require('hyperbee')
const fs = require('fs')
const os = require('os')
const path = require('path')

// A small deterministic generator, so that the cases never change.
function random (seed) {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function mixed (seed, count, keys, deletions) {
  const next = random(seed)
  const ops = []
  for (let i = 0; i < count; i++) {
    const key = 'key-' + String(next(keys)).padStart(4, '0')
    if (next(100) < deletions) ops.push(['del', key])
    else ops.push(['put', key, 'v' + i])
  }
  return ops
}

function batches (ops, seed, most) {
  const next = random(seed)
  const steps = []
  while (ops.length) steps.push(ops.splice(0, 1 + next(most)))
  return steps
}

const up = [...Array(120).keys()].map((i) => ['put', 'k' + String(i).padStart(3, '0'), String(i)])
const down = [...up].reverse()

const cases = [
  ['one entry', [['put', 'a', '1']]],
  ['overwrite and delete', [['put', 'a', '1'], ['put', 'a', '2'], ['put', 'b', ''], ['del', 'a'], ['del', 'zzz'], ['del', 'b']]],
  ['delete on an empty bee', [['del', 'a']]],
  ['ascending', up],
  ['descending', down.slice(0, 60)],
  ['ascending then deleted from the front', [...up.slice(0, 60), ...up.slice(0, 60).map(([, k]) => ['del', k])]],
  ['one batch', [up.slice(0, 100)]],
  ['mixed, one by one', mixed(1, 260, 60, 40)],
  ['mixed, in batches', batches(mixed(2, 420, 90, 35), 3, 40)],
  ['delete all in a batch', [up.slice(0, 80), up.slice(0, 80).map(([, k]) => ['del', k]), [['put', 'again', 'x']]]]
]

async function main () {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'bee-'))
  const store = new Corestore(dir)
  const out = []
  for (const [name, steps] of cases) {
    const core = store.get({ name })
    const bee = new Hyperbee(core, { metadata: { contentFeed: null } })
    await bee.ready()
    for (const step of steps) {
      if (typeof step[0] === 'string') {
        if (step[0] === 'put') await bee.put(step[1], Buffer.from(step[2]))
        else await bee.del(step[1])
        continue
      }
      const batch = bee.batch()
      for (const op of step) {
        if (op[0] === 'put') await batch.put(op[1], Buffer.from(op[2]))
        else await batch.del(op[1])
      }
      await batch.flush()
    }
    const blocks = []
    for (let i = 0; i < core.length; i++) blocks.push((await core.get(i)).toString('hex'))
    const entries = []
    for await (const e of bee.createReadStream()) entries.push([e.seq, e.key.toString(), e.value.toString()])
    out.push({ name, steps, blocks, entries })
  }
  const version = require('hyperbee/package.json').version
  console.log('{"package":"hyperbee@' + version + '","cases":[\n' + out.map((c) => JSON.stringify(c)).join(',\n') + '\n]}')
  await store.close()
  fs.rmSync(dir, { recursive: true })
}
main()
