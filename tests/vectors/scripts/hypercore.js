// Records trees, proofs, seeks, manifests and multi-signatures of npm hypercore.
// Run in a folder with `hypercore` installed: node hypercore.js > ../hypercore/core.json
// Proofs name their nodes by index; `nodes` holds size and hash of each, which are the same at every length.
const c = require('compact-encoding')
const crypto = require('hypercore-crypto')
const flat = require('flat-tree')
const fs = require('fs')
const os = require('os')
const path = require('path')
const Hypercore = require('hypercore')

const lib = path.join(path.dirname(require.resolve('hypercore')), 'lib')
const { MerkleTree, MerkleTreeBatch } = require(path.join(lib, 'merkle-tree.js'))
const Verifier = require(path.join(lib, 'verifier.js'))

const hex = (bytes) => Buffer.from(bytes).toString('hex')
const pairs = [1, 2, 3].map((seed) => crypto.keyPair(Buffer.alloc(32, seed)))
const LENGTHS = [1, 2, 5, 8, 13, 21]
// Empty blocks among them: seeks treat those specially.
const value = (i) => Buffer.alloc((i * 5) % 7, i + 1)
const temporary = fs.mkdtempSync(path.join(os.tmpdir(), 'hypercore-vectors-'))

const indices = (nodes) => nodes.map((node) => node.index)

function shape(proof) {
  const out = { fork: proof.fork }
  if (proof.block) out.block = { index: proof.block.index, nodes: indices(proof.block.nodes) }
  if (proof.hash) out.hash = { index: proof.hash.index, nodes: indices(proof.hash.nodes) }
  if (proof.seek) out.seek = { bytes: proof.seek.bytes, nodes: indices(proof.seek.nodes) }
  if (proof.upgrade) {
    const { start, length, nodes, additionalNodes, signature } = proof.upgrade
    out.upgrade = { start, length, nodes: indices(nodes), additional: indices(additionalNodes), signature: hex(signature) }
  }
  return out
}

function * requests(length, bytes) {
  const blocks = [...new Set([0, 1, length >> 1, length - 2, length - 1])].filter((i) => i >= 0 && i < length)
  const offsets = [...new Set([0, 1, bytes >> 1, bytes - 1, bytes, bytes + 1])].filter((i) => i >= 0)
  const upgrades = []
  for (const start of [0, 1, 3, 4, length - 1]) {
    for (const end of [start + 1, (start + length + 1) >> 1, length]) {
      if (start < length && end > start && end <= length) upgrades.push({ start, length: end - start })
    }
  }
  for (const index of blocks) {
    for (const nodes of [0, 1, 2, 5]) {
      yield { block: { index, nodes } }
      yield { hash: { index: 2 * index, nodes } }
      yield { hash: { index: 2 * index + 1, nodes } }
    }
  }
  for (const root of flat.fullRoots(2 * length)) {
    for (const seek of offsets) yield { hash: { index: root, nodes: 0 }, seek: { bytes: seek, padding: 0 } }
  }
  yield { seek: { bytes: 1, padding: 0 } }
  for (const upgrade of upgrades) {
    yield { upgrade }
    for (const seek of offsets) yield { upgrade, seek: { bytes: seek, padding: 0 } }
    yield { upgrade, seek: { bytes: 1, padding: 1 } }
    for (const index of blocks) {
      yield { upgrade, block: { index, nodes: 0 } }
      yield { upgrade, block: { index, nodes: 1 } }
      yield { upgrade, hash: { index: 2 * index, nodes: 0 } }
      yield { upgrade, block: { index, nodes: 1 }, seek: { bytes: 1, padding: 0 } }
    }
  }
  yield { upgrade: { start: 0, length: length + 1 } }
  yield { upgrade: { start: length, length: 1 } }
}

async function trees() {
  const nodes = {}
  const out = []
  for (const length of LENGTHS) {
    const core = new Hypercore(path.join(temporary, 'tree-' + length), { keyPair: pairs[0] })
    await core.ready()
    await core.append(Array.from({ length }, (_, i) => value(i)))
    const batch = core.state.createTreeBatch()
    const tree = { length, byteLength: core.byteLength, hash: hex(batch.hash()), roots: indices(batch.roots), signature: hex(core.state.signature) }
    tree.seeks = []
    for (let bytes = 0; bytes < core.byteLength; bytes++) tree.seeks.push(await core.seek(bytes))
    tree.proofs = []
    for (const request of requests(length, core.byteLength)) {
      // The package changes what it is given.
      const asked = JSON.parse(JSON.stringify(request))
      let proof = null
      const read = core.state.storage.read()
      try {
        // As the replicator does it; `core.proof` cannot answer seeks.
        const making = await MerkleTree.proof(core.state, read, { block: null, hash: null, seek: null, upgrade: null, ...asked })
        read.tryFlush()
        proof = await making.settle()
      } catch {
        read.destroy()
      }
      tree.proofs.push({ request, proof: proof && shape(proof) })
      for (const part of proof ? [proof.block, proof.hash, proof.seek, proof.upgrade] : []) {
        if (part === null) continue
        for (const node of [...part.nodes, ...(part.additionalNodes || [])]) nodes[node.index] = [node.size, hex(node.hash)]
      }
    }
    out.push(tree)
    if (length === 21) {
      await core.truncate(14)
      const cut = core.state.createTreeBatch()
      out.truncated = { length: 14, fork: core.fork, hash: hex(cut.hash()), signature: hex(core.state.signature) }
    }
    await core.close()
  }
  return { key: hex(Verifier.fromManifest(Verifier.defaultSignerManifest(pairs[0].publicKey)).manifestHash), nodes, trees: out, truncated: out.truncated }
}

const namespace = Buffer.alloc(32, 9)
const signers = (n) => pairs.slice(0, n).map(({ publicKey }) => ({ signature: 'ed25519', namespace, publicKey }))

function manifests() {
  const hash = Buffer.alloc(32, 7)
  const inputs = {
    v0Static: { version: 0, prologue: { hash, length: 0 }, quorum: 0, signers: [] },
    v0Single: { version: 0, quorum: 1, signers: signers(1) },
    v0Multi: { version: 0, quorum: 2, signers: signers(3) },
    v0Patch: { version: 0, quorum: 1, allowPatch: true, signers: signers(1) },
    v1Single: { version: 1, quorum: 1, signers: signers(1) },
    v1Multi: { version: 1, quorum: 2, signers: signers(3) },
    v1Patch: { version: 1, quorum: 2, allowPatch: true, signers: signers(2) },
    v1Prologue: { version: 1, quorum: 1, signers: signers(1), prologue: { hash, length: 300 } },
    v2Linked: { version: 2, quorum: 1, signers: signers(1), linked: [hash, namespace] },
    v2UserData: { version: 2, quorum: 1, signers: signers(1), userData: Buffer.from('data') },
    v3All: { version: 3, quorum: 3, allowPatch: true, signers: signers(3), prologue: { hash, length: 2 }, linked: [hash], userData: Buffer.from('x') }
  }
  const out = {}
  for (const [name, input] of Object.entries(inputs)) {
    const manifest = Verifier.createManifest(input)
    out[name] = { encoded: hex(Verifier.encodeManifest(manifest)), key: hex(Verifier.manifestHash(manifest)) }
  }
  return out
}

function batchOf(length, fork = 0) {
  const session = { fork, roots: [], length: 0, byteLength: 0, signature: null, prologue: null, storage: null }
  const batch = new MerkleTreeBatch(session)
  for (let i = 0; i < length; i++) batch.append(value(i))
  return batch
}

// The nodes that lead from a tree of `from` blocks to the longer `batch`.
function patchNodes(batch, from) {
  const all = new Map(batch.nodes.map((node) => [node.index, node]))
  const nodes = []
  let at = from
  while (at < batch.length) {
    const root = flat.fullRoots(2 * batch.length).find((index) => flat.rightSpan(index) >= 2 * at)
    const ite = flat.iterator(2 * at)
    while (ite.index !== root) {
      const before = ite.index
      ite.parent()
      if (flat.leftSpan(ite.index) !== 2 * at) {
        ite.seek(before)
        break
      }
    }
    nodes.push(all.get(ite.index))
    at = flat.rightSpan(ite.index) / 2 + 1
  }
  return nodes
}

function signatures() {
  const out = []
  const length = 7
  const batch = batchOf(length)
  const check = (name, input, make, { compat = false } = {}) => {
    const manifest = Verifier.createManifest(input)
    const key = compat ? input.signers[0].publicKey : Verifier.manifestHash(manifest)
    const verifier = new Verifier(key, manifest)
    const signed = (i, tree = batch) => crypto.sign(verifier.signers[i].version === 0 && verifier.compat ? tree.signableCompat(false) : tree.signable(verifier.signers[i]._ctx()), pairs[i].secretKey)
    const part = (signer, tree = batch, claimed = signer) => {
      const nodes = tree === batch ? null : patchNodes(tree, length)
      return { signer: claimed, signature: signed(signer, tree), patch: nodes ? tree.length - length : 0, nodes }
    }
    const signature = make({ part, signed, assemble: (list) => verifier.assemble(list), batch })
    let accepted = false
    try {
      accepted = verifier.verify(batch, signature)
    } catch {}
    out.push({ name, key: hex(key), manifest: hex(Verifier.encodeManifest(manifest)), signature: hex(signature), accepted })
  }
  const long = batchOf(12)
  const crossing = batchOf(8)
  const two = { version: 1, quorum: 2, signers: signers(3) }
  const patchy = { ...two, allowPatch: true }
  check('single', { version: 1, quorum: 1, signers: signers(1) }, (t) => t.assemble([t.part(0)]))
  check('single, bare signature', { version: 1, quorum: 1, signers: signers(1) }, (t) => t.signed(0))
  check('v0 single', { version: 0, quorum: 1, signers: signers(1) }, (t) => t.signed(0))
  check('v0 quorum', { version: 0, quorum: 2, signers: signers(3) }, (t) => t.assemble([t.part(2), t.part(1)]))
  check('v0 below quorum', { version: 0, quorum: 2, signers: signers(3) }, (t) => t.assemble([t.part(2)]))
  check('v0 patch', { version: 0, quorum: 2, allowPatch: true, signers: signers(3) }, (t) => t.assemble([t.part(2, long), t.part(1)]))
  check('v0 two patches', { version: 0, quorum: 2, allowPatch: true, signers: signers(3) }, (t) => t.assemble([t.part(2, long), t.part(1, crossing)]))
  check('v0 patch not allowed', { version: 0, quorum: 2, signers: signers(3) }, (t) => t.assemble([t.part(2, long), t.part(1)]))
  check('compat', { version: 1, quorum: 1, signers: signers(1) }, (t) => t.signed(0), { compat: true })
  check('compat without the prefix', { version: 1, quorum: 1, signers: signers(1) }, (t) => crypto.sign(t.batch.signableCompat(true), pairs[0].secretKey), { compat: true })
  check('quorum', two, (t) => t.assemble([t.part(0), t.part(1)]))
  check('quorum, another order', two, (t) => t.assemble([t.part(2), t.part(0)]))
  check('all three', two, (t) => t.assemble([t.part(2), t.part(0), t.part(1)]))
  check('third is wrong but not looked at', two, (t) => t.assemble([t.part(2), t.part(0), t.part(1, batch, 9)]))
  check('below quorum', two, (t) => t.assemble([t.part(0)]))
  check('one twice', two, (t) => t.assemble([t.part(0), t.part(0)]))
  check('signer out of range', two, (t) => t.assemble([t.part(0), t.part(1, batch, 3)]))
  check('another signer named', two, (t) => t.assemble([t.part(0), t.part(1, batch, 2)]))
  check('patch not allowed', two, (t) => t.assemble([t.part(0), t.part(1, long)]))
  check('patch', patchy, (t) => t.assemble([t.part(0), t.part(1, long)]))
  check('patch over a root', patchy, (t) => t.assemble([t.part(1, crossing), t.part(2)]))
  check('two patches', patchy, (t) => t.assemble([t.part(1, long), t.part(0, crossing)]))
  check('patch without nodes', patchy, (t) => t.assemble([t.part(0), { ...t.part(1, long), nodes: null }]))
  check('patch of another length', patchy, (t) => t.assemble([t.part(0), { ...t.part(1, long), patch: 4 }]))
  check('quorum of none', { version: 1, quorum: 0, signers: signers(1) }, (t) => t.assemble([]))
  check('prologue', { version: 1, quorum: 1, signers: signers(1), prologue: { hash: batch.hash(), length } }, () => Buffer.alloc(0))
  check('another prologue', { version: 1, quorum: 1, signers: signers(1), prologue: { hash: long.hash(), length } }, () => Buffer.alloc(0))
  check('shorter than the prologue', { version: 1, quorum: 1, signers: signers(1), prologue: { hash: long.hash(), length: 12 } }, (t) => t.assemble([t.part(0)]))
  check('trailing bytes', two, (t) => Buffer.concat([t.assemble([t.part(0), t.part(1)]), Buffer.from([1])]))
  check('cut short', two, (t) => t.assemble([t.part(0), t.part(1)]).subarray(0, 133))
  return { length, hash: hex(batch.hash()), cases: out }
}

trees().then((recorded) => {
  fs.rmSync(temporary, { recursive: true })
  console.log(JSON.stringify({ ...recorded, manifests: manifests(), signatures: signatures() }))
})
