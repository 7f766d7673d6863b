// Records messages of npm hyperdispatch: node hyperdispatch.js > ../hyperdispatch/messages.json
// Run where `hyperschema` and `hyperdispatch` can be required.
const fs = require('fs')
const os = require('os')
const path = require('path')
const Hyperschema = require('hyperschema')
const Hyperdispatch = require('hyperdispatch')

const need = (name, type) => ({ name, type, required: true })

function build (root, offset, more) {
  const at = (name) => path.join(root, name)
  const schema = Hyperschema.from(at('schema'))
  const types = schema.namespace('chat')
  types.register({ name: 'writer', fields: [need('key', 'string')] })
  types.register({ name: 'message', fields: [need('id', 'string'), need('text', 'string'), { name: 'likes', type: 'uint' }, ...(more ? [{ name: 'on', type: 'bool' }] : [])] })
  Hyperschema.toDisk(schema)
  const dispatch = Hyperdispatch.from(at('schema'), at('dispatch'), { offset })
  const ops = dispatch.namespace('chat')
  ops.register({ name: 'add-writer', requestType: '@chat/writer' })
  ops.register({ name: 'add-message', requestType: '@chat/message' })
  if (more) ops.register({ name: 'drop-message', requestType: '@chat/message' })
  if (more) ops.register({ name: 'say', requestType: '@chat/writer' })
  Hyperdispatch.toDisk(dispatch)
  const read = (name) => fs.readFileSync(at(name), 'utf-8')
  return { schema: read('schema/schema.json'), dispatch: read('dispatch/dispatch.json') }
}

const out = []
for (const offset of [0, 5, 300]) {
  const root = fs.mkdtempSync(path.join(os.tmpdir(), 'dispatch-'))
  const before = build(root, offset, false)
  const files = build(root, offset, true)
  const { encode, decode } = require(path.join(root, 'dispatch'))
  const messages = [
    ['@chat/add-writer', { key: 'k' }],
    ['@chat/add-message', { id: '1', text: 'hello', likes: 300, on: true }],
    ['@chat/add-message', { id: '2', text: '' }],
    ['@chat/drop-message', { id: '2', text: 'ü' }],
    ['@chat/say', { key: '' }]
  ].flatMap(([name, value]) => [1, 2].map((version) => {
    const bytes = encode(name, value, { version })
    return { name, value, version, bytes: bytes.toString('hex'), decoded: decode(bytes) }
  }))
  out.push({ offset, before, ...files, messages })
  fs.rmSync(root, { recursive: true })
}
console.log(JSON.stringify(out, null, 1))
