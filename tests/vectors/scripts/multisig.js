// Records what npm hyper-multisig, hypercore-signing-request and hypercore-sign-lib make: links, requests, responses and
// encrypted secret keys. Run in a folder with those three, `corestore` and `hyperdrive` installed:
// node multisig.js > ../multisig/vectors.json
const Corestore = require('corestore')
const Hyperdrive = require('hyperdrive')
const Hypercore = require('hypercore')
const c = require('compact-encoding')
const m = require('hypercore/lib/messages')
const SignRequest = require('hypercore-signing-request')
const CoreSign = require('hypercore-sign-lib')
const { EncryptedKey } = require('hypercore-sign-lib/lib/encoding')
const { getManifest } = require('hyper-multisig/lib/core')
const sodium = require('sodium-native')
const z32 = require('z32')
const fs = require('fs')
const os = require('os')
const path = require('path')

const hex = (buffer) => buffer.toString('hex')
const NAMESPACE = 'my-org/my-app'
const PASSWORDS = ['correct horse', 'battery staple', 'pässwörd, double encoded'].map((text, i) =>
  // The Pear CLI takes each byte that was typed for a character, and encodes those again.
  i === 2 ? Buffer.from(Buffer.from(text).toString('latin1')) : Buffer.from(text)
)

function secure (password) {
  const buffer = sodium.sodium_malloc(password.byteLength)
  password.copy(buffer)
  return buffer
}

// The same layout at the lowest cost, so that most tests need no gigabyte of memory.
function cheap (seed, password) {
  const publicKey = Buffer.alloc(32)
  const secretKey = Buffer.alloc(64)
  sodium.crypto_sign_seed_keypair(publicKey, secretKey, Buffer.alloc(32, seed))
  const params = {
    ops: sodium.crypto_pwhash_scryptsalsa208sha256_OPSLIMIT_INTERACTIVE,
    mem: sodium.crypto_pwhash_scryptsalsa208sha256_MEMLIMIT_INTERACTIVE
  }
  const id = Buffer.alloc(8, seed)
  const checkSum = Buffer.alloc(32)
  sodium.crypto_generichash(checkSum, Buffer.concat([id, secretKey]))
  const payload = Buffer.concat([id, secretKey, checkSum])
  const salt = Buffer.alloc(32, seed + 100)
  const mask = Buffer.alloc(104)
  sodium.crypto_pwhash_scryptsalsa208sha256(mask, Buffer.from(password), salt, params.ops, params.mem)
  for (let i = 0; i < mask.length; i++) payload[i] ^= mask[i]
  return { publicKey, file: c.encode(EncryptedKey, { version: 1, params, salt, payload, publicKey }) }
}

async function main () {
  const keys = []
  for (const password of PASSWORDS) {
    const { publicKey, secretKey } = await CoreSign.generateKeys(secure(password))
    keys.push({ password: hex(password), publicKey, file: secretKey })
  }
  const publicKeys = keys.map((key) => z32.encode(key.publicKey))
  const manifest = getManifest(publicKeys, NAMESPACE, { quorum: 2 })
  const key = Hypercore.key(manifest)

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vectors-'))
  const store = new Corestore(folder)
  const drive = new Hyperdrive(store)
  await drive.ready()
  await drive.put('/package.json', Buffer.from('{"name":"cool","version":"1.0.1"}'))
  await drive.put('/big', Buffer.alloc(200000, 7))
  const core = store.get({ name: 'plain' })
  await core.append(['one', 'two', 'three'])

  const requests = []
  for (const [kind, subject] of [['drive', drive], ['core', core]]) {
    for (const legacy of [false, true]) {
      const request = await SignRequest.generate(subject, { manifest, legacy })
      const responses = []
      for (const { file, password, publicKey } of keys) {
        const response = await CoreSign.sign(request, Buffer.from(file), secure(Buffer.from(password, 'hex')))
        CoreSign.verify(response, request, publicKey)
        responses.push(hex(response))
      }
      const decoded = SignRequest.decode(request)
      requests.push({
        kind,
        version: decoded.version,
        bytes: hex(request),
        text: z32.encode(request),
        id: decoded.id,
        length: decoded.length,
        fork: decoded.fork,
        treeHash: hex(decoded.treeHash),
        content: decoded.content && { length: decoded.content.length, treeHash: hex(decoded.content.treeHash) },
        responses
      })
    }
  }
  const legacyFile = Buffer.concat([keys[0].file.subarray(1, 154)])
  CoreSign.verify(
    await CoreSign.sign(Buffer.from(requests[0].bytes, 'hex'), Buffer.from(legacyFile), secure(PASSWORDS[0]), keys[0].publicKey),
    Buffer.from(requests[0].bytes, 'hex'),
    keys[0].publicKey
  )
  const low = cheap(1, 'low cost password')
  console.log(JSON.stringify({
    namespace: NAMESPACE,
    quorum: 2,
    publicKeys,
    manifest: hex(c.encode(m.manifest, manifest)),
    key: z32.encode(key),
    blobsKey: z32.encode(Hyperdrive.getContentKey(manifest, key)),
    keys: keys.map((key) => ({ ...key, publicKey: hex(key.publicKey), file: hex(key.file) })),
    legacyFile: hex(legacyFile),
    low: { password: hex(Buffer.from('low cost password')), publicKey: hex(low.publicKey), file: hex(low.file) },
    requests
  }, null, 1))
  await store.close()
  fs.rmSync(folder, { recursive: true })
}

main()
