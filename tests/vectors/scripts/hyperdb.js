// Records what npm hyperdb writes to a bee and finds there: node hyperdb.js > ../hyperdb/rooms.json
// Run where `hyperdb`, `hyperschema` and `corestore` can be required. What JSON lacks is written as in hyperschema.js.
// Steps: ["define", number of the definition], ["insert", collection, record], ["delete", collection, key], ["flush"],
// ["find", collection or index, query, records], ["get", collection or index, key, record], ["changes", start, changes].
const fs = require('fs')
const os = require('os')
const path = require('path')
const Corestore = require('corestore')
const Hyperschema = require('hyperschema')
const HyperDB = require('hyperdb')
const Builder = require('hyperdb/builder')

function random (seed) {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
const next = random(11)
const pick = (list) => list[next(list.length)]

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperdb-'))
const at = (name) => path.join(root, name)
const helpers = at('helpers.js')
fs.writeFileSync(helpers, `
exports.words = (record) => record.text.split(' ').filter((word) => word !== '')
exports.length = (record) => [record.text.length]
exports.place = (record) => record.age > 50 ? [] : [{ team: record.team, rank: record.age % 3 }]
`)

const field = (name, type, required = true) => ({ name, type, required })
const newer = [field('likes', 'uint', false), field('pinned', 'bool', false)]

// Twice: the second time with more fields and indexes.
function define (number) {
  const schema = Hyperschema.from(at('schema'))
  const types = schema.namespace('room')
  types.register({ name: 'color', enum: ['red', 'green'] })
  types.register({ name: 'message', fields: [field('id', 'string'), field('text', 'string'), field('info', 'json', false), ...(number ? newer : [])] })
  types.register({ name: 'member', compact: true, fields: [field('team', 'string'), field('age', 'uint'), field('name', 'string', false), field('color', '@room/color', false)] })
  types.register({ name: 'inner', fields: [field('id', 'buffer'), field('n', 'int', false)] })
  types.register({ name: 'outer', fields: [field('inner', '@room/inner'), field('rank', 'int'), field('note', 'string', false)] })
  types.register({ name: 'event', fields: [field('done', 'bool', false), field('when', 'date'), field('key', 'fixed32'), field('what', 'string', false)] })
  types.register({ name: 'setting', fields: [field('dark', 'bool', false), field('size', 'uint', false)] })
  types.register({ name: 'old', fields: [field('id', 'uint'), field('a', 'string')] })
  types.register({ name: 'new', fields: [field('id', 'uint'), field('a', 'string'), field('b', 'uint', false)] })
  types.register({ name: 'either', versions: [{ version: 1, type: '@room/old' }, { version: 2, type: '@room/new' }] })
  types.register({ name: 'stamped', fields: [field('id', 'uint'), field('version', 'uint'), field('text', 'string', false)] })
  Hyperschema.toDisk(schema)
  const db = Builder.from(at('schema'), at('db'))
  const tables = db.namespace('room')
  tables.require(helpers)
  const collection = (name, schema, key) => tables.collections.register({ name, schema: '@room/' + schema, key })
  const index = (name, collection, key, more = {}) => tables.indexes.register({ name, collection: '@room/' + collection, key, ...more })
  collection('messages', 'message', ['id'])
  collection('members', 'member', ['team', 'age'])
  index('members-by-name', 'members', ['name'])
  index('members-by-color', 'members', ['color', 'name'], { unique: true })
  index('members-by-place', 'members', { type: { fields: [{ name: 'team', type: 'string' }, { name: 'rank', type: 'uint' }] }, map: 'place' })
  collection('outers', 'outer', ['inner.id', 'rank'])
  collection('events', 'event', ['done', 'when', 'key'])
  collection('setting', 'setting', [])
  collection('eithers', 'either', ['id'])
  tables.collections.register({ name: 'stampeds', schema: '@room/stamped', key: ['id'], versionField: 'version' })
  if (number) {
    index('messages-by-word', 'messages', { type: 'string', map: 'words' })
    index('messages-by-length', 'messages', { type: 'uint', map: 'length' })
    index('members-by-age', 'members', ['age'], { deprecated: true })
    index('outers-by-rank', 'outers', ['rank'], { unique: true })
  }
  Builder.toDisk(db)
  const code = at('db' + number)
  fs.cpSync(at('db'), code, { recursive: true })
  const read = (name) => fs.readFileSync(at(name), 'utf-8')
  return { schema: read('schema/schema.json'), db: read('db/db.json'), code }
}

function tag (value, name) {
  if (value === undefined) return null
  if (name === 'info') return value === null ? null : { $json: value }
  if (value === null || typeof value !== 'object') return value
  if (Buffer.isBuffer(value) || value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') }
  if (value instanceof Date) return { $date: value.getTime() }
  if (Array.isArray(value)) return value.map((v) => tag(v, name))
  return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, tag(v, k)]))
}

const texts = ['', 'a', 'hello world', 'hello  hello ü', 'zero\0byte', 'b a']
const make = {
  messages: () => ({ id: pick(['a', 'b', 'c', 'd', '', 'e\0']), text: pick(texts), info: pick([null, { at: 5, 1: [true] }, 'x']), likes: pick([0, 3, 300]), pinned: next(2) === 1 }),
  members: () => ({ team: pick(['red', 'blue', '']), age: pick([0, 7, 251, 252, 65536, 2 ** 33]), name: pick(['ann', 'bob', '']), color: pick([1, 2]) }),
  outers: () => ({ inner: { id: pick([Buffer.from('00ff', 'hex'), Buffer.from('', 'hex'), Buffer.from('01', 'hex')]), n: pick([0, -5]) }, rank: pick([0, 5, -1, -255, -256, -65536, -(2 ** 40), 247, 65535, 65536, 2 ** 40]), note: pick(texts) }),
  events: () => ({ done: next(2) === 1, when: new Date(pick([0, -1, 1700000000000])), key: Buffer.alloc(32, pick([0, 1, 255])), what: pick(texts) }),
  setting: () => ({ dark: next(2) === 1, size: next(3) }),
  eithers: () => pick([{ version: 1, id: next(3), a: pick(texts) }, { version: 2, id: next(3), a: pick(texts), b: next(2) }]),
  stampeds: () => ({ id: next(4), version: 0, text: pick(texts) })
}
const queries = {
  messages: [{}, { gte: { id: 'b' } }, { gt: { id: 'b' }, lte: { id: 'd' } }, { lt: { id: 'c' } }, { lt: {} }, { reverse: true }, { limit: 2 }, { limit: 1, reverse: true }],
  members: [{}, { gte: { team: 'red' }, lte: { team: 'red' } }, { gt: { team: 'blue' } }, { gt: { team: 'blue', age: 7 } }, { gte: { team: 'red', age: 7 }, lt: { team: 'red', age: 65536 } }, { lte: { team: 'blue' }, reverse: true, limit: 2 }],
  'members-by-name': [{}, { gte: { name: 'ann' }, lte: { name: 'ann' } }, { gt: { name: 'ann' } }, { gte: { name: 'bob', team: 'red' } }, { reverse: true, limit: 3 }],
  'members-by-color': [{}, { gte: { color: 2 } }, { lte: { color: 1 } }, { gte: { color: 1, name: 'bob' } }],
  'members-by-place': [{}, { gte: { team: 'red' } }, { gte: { team: 'red', rank: 1 }, lte: { team: 'red', rank: 1 } }, { lt: { team: 'red' } }],
  outers: [{}, { gte: { inner: { id: Buffer.from('00', 'hex') } } }, { lte: { inner: { id: Buffer.from('00ff', 'hex') }, rank: -1 } }, { reverse: true }],
  events: [{}, { gte: { done: true } }, { lt: { done: true } }, { gt: { done: false, when: new Date(0) } }],
  setting: [{}],
  eithers: [{}],
  stampeds: [{}],
  'messages-by-word': [{}, { gte: 'hello', lte: 'hello' }, { gt: 'a' }, { lt: 'hello', reverse: true }],
  'messages-by-length': [{}, { gte: 0 }, { gt: 0 }, { lte: 1 }, { gte: 5, limit: 1 }],
  'members-by-age': [{}],
  'outers-by-rank': [{}, { gte: { rank: -1 } }, { lt: { rank: 0 } }]
}
const indexes = ['members-by-name', 'members-by-color', 'members-by-place', 'messages-by-word', 'messages-by-length', 'members-by-age', 'outers-by-rank']

async function main () {
  const definitions = [define(0), define(1)]
  const store = new Corestore(at('store'))
  const cases = []
  for (const [name, rounds, newest] of [['one definition', 40, 0], ['a definition that grows', 100, 1]]) {
    const core = store.get({ name })
    await core.ready()
    const steps = []
    let db = null
    let defined = 0
    const open = async (number) => {
      if (db) await db.close()
      db = HyperDB.bee(core.session(), require(definitions[number].code), { extension: false, autoUpdate: true })
      await db.ready()
      defined = number
      steps.push(['define', number])
    }
    const find = async (of, query) => steps.push(['find', '@room/' + of, tag(query), tag(await db.find('@room/' + of, query).toArray())])
    const all = (of) => of.includes('-by-') ? (defined || !/messages|age|outers/.test(of)) : true
    await open(0)
    for (let round = 0; round < rounds; round++) {
      if (newest && round === 30) await open(1)
      const kinds = Object.keys(make)
      for (let n = 1 + next(4); n > 0; n--) {
        const kind = pick(kinds)
        const record = make[kind]()
        if (next(4) === 0) {
          steps.push(['delete', '@room/' + kind, tag(record)])
          await db.delete('@room/' + kind, record)
        } else {
          steps.push(['insert', '@room/' + kind, tag(record)])
          await db.insert('@room/' + kind, record)
        }
      }
      const kind = pick(kinds)
      await find(kind, {})
      const key = make[kind]()
      steps.push(['get', '@room/' + kind, tag(key), tag(await db.get('@room/' + kind, key))])
      await db.flush()
      steps.push(['flush'])
      if (round % 10 === 9) {
        for (const [of, list] of Object.entries(queries)) {
          if (all(of)) for (const query of list) await find(of, query)
        }
        for (const key of [{ color: 1, name: 'ann' }, { color: 2, name: 'bob' }, { color: 2, name: '' }]) {
          steps.push(['get', '@room/members-by-color', key, tag(await db.get('@room/members-by-color', key))])
        }
      }
    }
    for (const start of [1, 20]) {
      const changes = []
      for await (const { type, seq, collection, value } of db.changes({ gte: start })) changes.push([type, seq, collection, tag(value)])
      steps.push(['changes', start, changes])
    }
    const blocks = []
    for (let i = 0; i < core.length; i++) blocks.push((await core.get(i)).toString('hex'))
    cases.push({ name, steps, blocks })
    await db.close()
  }
  const lines = (list) => '[\n' + list.map((one) => JSON.stringify(one)).join(',\n') + '\n]'
  const written = cases.map(({ name, steps, blocks }) => `{"name": ${JSON.stringify(name)},\n"steps": ${lines(steps)},\n"blocks": ${lines(blocks)}}`)
  console.log(`{"definitions": ${lines(definitions.map(({ schema, db }) => ({ schema, db })))},\n"cases": [${written.join(',\n')}]}`)
  await store.close()
  fs.rmSync(root, { recursive: true })
}

main()
