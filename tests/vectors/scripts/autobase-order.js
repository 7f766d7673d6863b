// Records the order that npm autobase gives to random graphs of 2 to 6 writers.
// Run in a folder with `autobase` installed: node autobase-order.js > ../autobase/order.json
//
// A graph: `keys` are the writers' (32 times that byte), the first `indexers` of them index; a node is
// [writer, batch, flags (1: has a value, 2: optimistic), ...numbers of the nodes it links]. Nodes stand so that what one links comes before.
// Given one by one with an update every few, `updates` has [nodes given, shared, undo, newly indexed, bits of the writers that should ack]
// of each; in the end the nodes of `indexed` stand for good, and those of `tip` follow. Other ways of arriving must lead to the same.
const path = require('path')

const lib = path.join(path.dirname(require.resolve('autobase')), 'lib')
const Linearizer = require(path.join(lib, 'linearizer.js'))
const NodeBuffer = require(path.join(lib, 'node-buffer.js'))

let state = 1
function random (n) { // mulberry32
  state = (state + 0x6d2b79f5) | 0
  let t = Math.imul(state ^ (state >>> 15), 1 | state)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) % n
}
const chance = (percent) => random(100) < percent

// What the linearizer asks of a writer (lib/writer.js without its core).
class Writer {
  constructor (key, indexer) {
    this.core = { key }
    this.nodes = new NodeBuffer(0)
    this.length = this.available = 0
    this.isActiveIndexer = indexer
    this.isRemoved = false
  }

  get indexed () { return this.nodes.offset }
  head () { return this.nodes.get(this.length - 1) }
  get (seq) { return seq < this.length ? this.nodes.get(seq) : null }

  shift () {
    let node = this.nodes.shift()
    node.clear()
    while (node.batch > 1) { node = this.nodes.shift(); node.clear() }
  }
}

function graph () {
  const writers = 2 + random(5), indexers = 1 + random(writers)
  const keys = []
  while (keys.length < writers) { const k = 1 + random(255); if (!keys.includes(k)) keys.push(k) }
  const size = 8 + random(56), skipped = [0, 10, 40][random(3)], merging = [15, 40, 70, 95][random(4)], acks = [0, 20, 60][random(3)]
  const optimists = chance(30)
  const nodes = [], logs = keys.map(() => []), views = keys.map(() => keys.map(() => 0))
  const active = chance(50) ? writers : 1 + random(writers)
  while (nodes.length < size) {
    const w = chance(85) ? random(active) : random(writers)
    const view = views[w]
    if (chance(merging)) {
      for (let v = 0; v < writers; v++) {
        if (v === w || chance(skipped)) continue
        const other = chance(80) || !logs[v].length ? views[v] : nodes[logs[v][random(logs[v].length)]].view
        for (let i = 0; i < writers; i++) if (i !== w && other[i] > view[i]) view[i] = other[i]
      }
      // Whole batches only, and what they saw.
      for (let again = true; again;) {
        again = false
        for (let v = 0; v < writers; v++) {
          if (!view[v]) continue
          const last = nodes[logs[v][view[v] - 1]]
          if (last.batch > 1) { view[v] += last.batch - 1; again = true; continue }
          for (let i = 0; i < writers; i++) if (i !== w && last.view[i] > view[i]) { view[i] = last.view[i]; again = true }
        }
      }
    }
    const batch = chance(8) ? 2 + random(2) : 1
    const value = !chance(acks)
    const optimistic = optimists && batch === 1 && value && w >= indexers && chance(50)
    for (let left = batch; left > 0; left--) {
      const heads = []
      for (let v = 0; v < writers; v++) {
        if (!view[v]) continue
        const covered = keys.some((_, u) => u !== v && view[u] && nodes[logs[u][view[u] - 1]].view[v] >= view[v])
        if (!covered || chance(2)) heads.push(logs[v][view[v] - 1])
      }
      view[w] = logs[w].push(nodes.length)
      nodes.push({ writer: w, batch: left, value, optimistic, heads, view: view.slice() })
    }
  }
  return { keys, indexers, nodes, logs }
}

// Gives the nodes in that order, with an update after each of those places.
function run (g, order, places) {
  const writers = g.keys.map((k, i) => new Writer(Buffer.alloc(32, k), i < g.indexers))
  const linearizer = new Linearizer(writers.slice(0, g.indexers), { heads: [], writers: new Map() })
  const numbers = new Map(), made = new Map(), updates = [], indexed = []
  let tip = []
  order.forEach((n, given) => {
    const node = g.nodes[n], w = writers[node.writer]
    const length = g.logs[node.writer].indexOf(n) + 1
    const heads = node.heads.map((h) => ({ key: writers[g.nodes[h].writer].core.key, length: g.logs[g.nodes[h].writer].indexOf(h) + 1 }))
    const one = Linearizer.createNode(w, length, node.value ? 1 : null, heads, node.batch, new Set(), node.optimistic)
    numbers.set(one, n)
    made.set(n, one)
    for (const h of node.heads) {
      const dep = writers[g.nodes[h].writer].nodes.get(g.logs[g.nodes[h].writer].indexOf(h))
      if (dep) one.dependencies.add(dep)
    }
    if (length - 1 > w.indexed) one.dependencies.add(w.nodes.get(length - 2))
    w.nodes.push(one)
    if (node.batch === 1) {
      w.available = w.nodes.length
      while (w.length < w.available) linearizer.addHead(w.nodes.get(w.length++))
    }
    if (!places.has(given) || node.batch > 1) return
    const u = linearizer.update()
    if (!u) return
    const stands = u.indexed.map((x) => numbers.get(x))
    tip = u.tip.map((x) => numbers.get(x))
    indexed.push(...stands)
    for (const x of u.indexed) if (x.batch === 1) x.writer.shift()
    const acks = writers.reduce((bits, x, i) => bits | (linearizer.shouldAck(x) ? 1 << i : 0), 0)
    updates.push([given + 1, u.shared, u.undo, stands.length, acks])
  })
  return { updates, indexed, tip }
}

// Another order in which every node comes after those it links.
function shuffled (g) {
  const next = g.keys.map(() => 0), given = new Set(), order = []
  while (order.length < g.nodes.length) {
    let w = random(g.keys.length)
    while (next[w] >= g.logs[w].length) w = random(g.keys.length)
    const batch = []
    for (let at = next[w]; ; at++) { batch.push(g.logs[w][at]); if (g.nodes[g.logs[w][at]].batch === 1) break }
    if (!batch.every((n) => g.nodes[n].heads.every((h) => given.has(h) || batch.includes(h)))) continue
    for (const n of batch) { given.add(n); order.push(n) }
    next[w] += batch.length
  }
  return order
}

const places = (g, every) => new Set([...g.nodes.keys()].filter((n) => n === g.nodes.length - 1 || random(every) === 0))
const graphs = []
let differ = 0
while (graphs.length < Number(process.argv[2] || 300)) {
  const g = graph()
  const result = run(g, [...g.nodes.keys()], places(g, 5))
  const same = (r) => JSON.stringify([r.indexed, r.tip]) === JSON.stringify([result.indexed, result.tip])
  let alike = true
  for (let i = 0; i < 12; i++) alike = alike && same(run(g, shuffled(g), places(g, 1 + random(9))))
  if (!alike) { differ++; continue }
  graphs.push({ keys: g.keys, indexers: g.indexers, nodes: g.nodes.map((n) => [n.writer, n.batch, (n.value ? 1 : 0) | (n.optimistic ? 2 : 0), ...n.heads]), ...result })
}
process.stderr.write(`${differ} graphs were left out: npm's own order of them depends on how they arrive\n`)
console.log(`{"version":"${require('autobase/package.json').version}","graphs":[\n${graphs.map((g) => JSON.stringify(g)).join(',\n')}\n]}`)
