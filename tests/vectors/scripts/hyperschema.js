// Records what npm hyperschema writes for values of every type: node hyperschema.js > ../hyperschema/values.json
// Run where `hyperschema` can be required. Values that JSON lacks are written as {"$bytes": hex}, {"$bigint": text}, {"$float": text},
// {"$date": milliseconds}, {"$address": "host port"}, {"$json": value}, {"$record": [[key, value], …]}.
const fs = require('fs')
const os = require('os')
const path = require('path')
const Hyperschema = require('hyperschema')
const primitives = require('hyperschema/primitives')

function random (seed) {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}
const next = random(7)

const bits = ['uint1', 'uint2', 'uint3', 'uint4', 'uint5', 'uint6', 'uint7']
const plain = [...primitives].filter((name) => !bits.includes(name))
const field = (name, type, more = {}) => ({ name, type, ...more })
const need = { required: true }
const list = { array: true }

// Registered in these steps; the schema's version rises with each.
const steps = [
  [
    ...plain.map((type) => ({ name: 'need-' + type, fields: [field('it', type, need)] })),
    ...plain.map((type) => ({ name: 'may-' + type, fields: [field('it', type)] })),
    ...plain.map((type) => ({ name: 'list-' + type, fields: [field('it', type, { ...need, ...list })] })),
    { name: 'bits', fields: bits.map((type) => field(type, type)) },
    { name: 'flags', fields: [field('a', 'bool'), field('b', 'uint3'), field('c', 'uint'), field('d', 'uint7'), field('e', 'bool', need), field('f', 'string', need)] },
    { name: 'growing', fields: [field('id', 'uint', need)] },
    { name: 'growing-too', fields: [field('id', 'uint', need), field('a', 'bool')] },
    { name: 'fixed', compact: true, fields: [field('x', 'int', need), field('y', 'int', need)] },
    { name: 'fixed-may', compact: true, fields: [field('x', 'uint8'), field('on', 'bool'), field('y', 'uint4'), field('z', 'string')] },
    { name: 'fixed-nine', compact: true, fields: [...Array(9).keys()].map((i) => field('f' + i, i % 2 ? 'bool' : 'uint')) },
    { name: 'fixed-twenty', compact: true, fields: [...Array(20).keys()].map((i) => field('f' + i, i % 3 ? 'bool' : 'string')) },
    { name: 'many', fields: [...Array(17).keys()].map((i) => field('f' + i, i % 2 ? 'bool' : 'uint')) },
    { name: 'number-enum', enum: ['red', 'green', 'blue'] },
    { name: 'text-enum', enum: ['one', 'two'], strings: true },
    { name: 'enum-from-0', enum: ['zero', 'one'], offset: 0 },
    { name: 'words', alias: 'string' },
    { name: 'switch', alias: 'bool' },
    { name: 'fixed-too', alias: '@test/fixed' },
    { name: 'growing-as', alias: '@test/growing' },
    { name: 'growing-list', array: true, type: '@test/growing' },
    { name: 'fixed-list', array: true, type: '@test/fixed' },
    { name: 'switch-list', array: true, type: '@test/switch' },
    { name: 'by-name', record: true, key: 'string', value: '@test/growing' },
    { name: 'by-number', record: true, key: 'uint', value: 'string' },
    {
      name: 'nest',
      fields: [
        field('a', '@test/growing', need), field('b', '@test/fixed', need), field('c', '@test/growing'), field('d', '@test/fixed-may'),
        field('e', '@test/growing', list), field('f', '@test/fixed', list), field('g', '@test/number-enum'), field('h', '@test/text-enum'),
        field('i', '@test/words'), field('j', '@test/switch'), field('k', '@test/by-name'), field('l', '@test/growing-list'),
        field('m', '@test/enum-from-0'), field('n', '@test/growing-as'), field('o', 'bool', list), field('p', '@test/switch', list)
      ]
    },
    { name: 'deep', fields: [field('name', 'string', need), field('child', '@test/deep'), field('children', '@test/deep', list)] },
    { name: 'inlined', compact: true, fields: [field('on', 'bool'), field('n', 'uint'), field('level', 'uint3'), field('s', 'string', need)] },
    { name: 'inlined-more', compact: true, fields: [field('in', '@test/inlined', { inline: true }), field('off', 'bool')] },
    { name: 'inline', fields: [field('id', 'uint', need), field('a', '@test/inlined', { inline: true }), field('b', 'bool'), field('c', '@test/inlined', { inline: true, required: true }), field('d', 'uint')] },
    { name: 'inline-deep', fields: [field('a', 'uint'), field('b', '@test/inlined-more', { inline: true }), field('c', 'uint2'), field('d', 'string')] },
    { name: 'flags-first', flagsPosition: 0, fields: [field('id', 'uint', need), field('name', 'string', need), field('c', 'uint')] },
    { name: 'constants', fields: [field('id', 'uint', need), field('kind', 'string', { constant: 'k' }), field('seq', 'uint', { constant: 7 }), field('none', 'string', { constant: null }), field('c', 'uint')] },
    { name: 'v1', fields: [field('a', 'uint', need)] },
    { name: 'v2', fields: [field('a', 'string', need), field('b', 'uint')] },
    { name: 'either', versions: [{ version: 1, type: '@test/v1' }, { version: 3, type: '@test/v2' }] },
    { name: 'either-in', fields: [field('it', '@test/either', need), field('n', 'uint'), field('more', '@test/either', list)] }
  ],
  [{ name: 'growing', fields: [field('id', 'uint', need), field('note', 'string')] }],
  [
    { name: 'growing', fields: [field('id', 'uint', need), field('note', 'string'), field('on', 'bool'), field('n', 'uint3'), field('last', 'int')] },
    { name: 'growing-too', fields: [field('id', 'uint', need), field('a', 'bool'), field('b', 'uint')] },
    { name: 'number-enum', enum: ['red', 'green', 'blue', 'white'] }
  ]
]

const types = new Map()
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'hyperschema-'))
const schemas = []
for (const step of steps) {
  const schema = Hyperschema.from(dir)
  const ns = schema.namespace('test')
  for (const type of step) {
    ns.register(JSON.parse(JSON.stringify(type)))
    types.set('@test/' + type.name, type)
  }
  Hyperschema.toDisk(schema)
  schemas.push(fs.readFileSync(path.join(dir, 'schema.json'), 'utf-8'))
}
const { encode, decode, version } = require(dir)

function pick (list) { return list[next(list.length)] }

const uints = (width) => [0, 1, 5, 251, 252, 253, 255, 256, 65535, 65536, 70000, 2 ** 24 - 1, 2 ** 24, 2 ** 32 - 1, 2 ** 32 + 300, 2 ** 33 - 1, 2 ** 40 + 7, 2 ** 43 - 1, 2 ** 53 - 1]
  .filter((n) => n < 2 ** width)
const ints = (width) => [0, 1, -1, 63, -64, 126, -127, 127, -128, 32767, -32768, 2 ** 31 - 1, -(2 ** 31), 2 ** 39, 2 ** 52 - 1, -(2 ** 52)]
  .filter((n) => n < 2 ** (width - 1) && n >= -(2 ** (width - 1)))
const texts = ['', 'a', 'hello', 'ÄÖ ü 🦊 水', 'x'.repeat(60), 'y'.repeat(253)]
const bytes = (n) => Buffer.from([...Array(n).keys()].map(() => next(256)))
const json = [null, true, false, 0, -0, 1, 1.5, 1e21, 1e-7, 123456789012345680000, 'text', 'q"\\\n\u0001é', [], {}, [1, [2, null]], { b: 1, 10: 2, 9: 'x', a: { z: [] } }]

function make (type, depth) {
  if (types.has(type)) return makeType(type, depth)
  let m
  if (bits.includes(type)) return next(2 ** Number(type.slice(4)))
  if (type === 'uint') return pick(uints(53))
  if (type === 'lexint') return pick(uints(53))
  if (type === 'port') return pick(uints(16))
  if ((m = type.match(/^uint(\d+)$/))) return pick(uints(Math.min(Number(m[1]), 53)))
  if (type === 'int') return pick(ints(53))
  if ((m = type.match(/^int(\d+)$/))) return pick(ints(Math.min(Number(m[1]), 53)))
  if (type === 'float32') return pick([0, 1, -2.5, 0.10000000149011612, Infinity, NaN])
  if (type === 'float64') return pick([0, 1, -2.5, 0.1, 1e300, -Infinity, NaN, 5e-324])
  if (type === 'string' || type === 'utf8') return pick(texts)
  if (type === 'ascii') return pick(['', 'plain', 'z'.repeat(70)])
  if (type === 'hex') return pick(['', '00ff', 'deadbeef'])
  if (type === 'bigint') return pick([0n, 1n, -1n, 2n ** 63n, -(2n ** 63n), 2n ** 64n, 2n ** 100n + 5n, -(2n ** 126n) - 3n])
  if (type === 'biguint64') return pick([0n, 1n, 2n ** 63n, 2n ** 64n - 1n])
  if (type === 'bigint64') return pick([0n, 1n, -1n, 2n ** 62n, -(2n ** 63n), 2n ** 63n - 1n])
  if ((m = type.match(/^fixed(\d+)$/))) return bytes(Number(m[1]))
  if (type === 'buffer' || type === 'raw') return bytes(pick([0, 1, 7, 260]))
  if (type === 'optionalBuffer') return pick([null, bytes(3)])
  if (type === 'date') return new Date(pick([0, 1, -1, 1700000000000, -62135596800000]))
  if (type === 'bool') return next(2) === 1
  const v4 = pick(['127.0.0.1', '255.0.10.3'])
  const v6 = pick(['2001:db8:0:0:0:0:0:1', '0:0:0:0:0:0:0:0'])
  if (type === 'ipv4') return v4
  if (type === 'ipv6') return v6
  if (type === 'ip') return pick([v4, v6])
  if (type === 'ipv4Address') return { host: v4, family: 4, port: next(65536) }
  if (type === 'ipv6Address') return { host: v6, family: 6, port: next(65536) }
  if (type === 'ipAddress') return make(pick(['ipv4Address', 'ipv6Address']), depth)
  if (type === 'none') return null
  if (type === 'json') return pick(json)
  throw new Error('no values for ' + type)
}

function several (type, depth) { return [...Array(pick([0, 1, 3])).keys()].map(() => make(type, depth + 1)) }

function makeType (name, depth) {
  const type = types.get(name)
  if (type.alias) return make(type.alias, depth)
  if (type.enum) return type.strings ? pick(type.enum) : next(type.enum.length) + (type.offset === undefined ? 1 : type.offset)
  if (type.array) return several(type.type, depth)
  if (type.record) {
    const out = {}
    for (const v of several(type.value, depth)) out[make(type.key, depth)] = v
    return out
  }
  if (type.versions) {
    const version = pick([1, 2, 3])
    return { version, ...make(version === 1 ? '@test/v1' : '@test/v2', depth) }
  }
  const out = {}
  for (const f of type.fields) {
    if (f.constant !== undefined) continue
    if (!f.required && (depth > 2 || next(3) === 0)) continue
    out[f.name] = f.array ? several(f.type, depth) : make(f.type, depth + 1)
  }
  return out
}

// A value as JSON.
function tag (value, type) {
  if (value === undefined || value === null) return type === 'json' && value === null ? { $json: null } : null
  const known = types.get(type)
  if (!known) {
    if (type === 'json') return { $json: value }
    if (type.startsWith('float')) return { $float: String(value) }
    if (typeof value === 'bigint') return { $bigint: String(value) }
    if (Buffer.isBuffer(value) || value instanceof Uint8Array) return { $bytes: Buffer.from(value).toString('hex') }
    if (value instanceof Date) return { $date: value.getTime() }
    if (value.host) return { $address: value.host + ' ' + value.port }
    return value
  }
  if (known.alias) return tag(value, known.alias)
  if (known.enum) return value
  if (known.array) return value.map((v) => tag(v, known.type))
  if (known.record) return { $record: Object.keys(value).map((k) => [known.key === 'uint' ? Number(k) : k, tag(value[k], known.value)]) }
  const fields = known.versions ? types.get(value.version === 1 ? '@test/v1' : '@test/v2').fields : known.fields
  const out = {}
  if (value.version !== undefined) out.version = value.version
  for (const f of fields) {
    if (!(f.name in value)) continue
    out[f.name] = f.array && value[f.name] ? value[f.name].map((v) => tag(v, f.type)) : tag(value[f.name], f.type)
  }
  return out
}

const cases = []
function record (type, value, v) {
  let buffer
  try {
    buffer = encode(type, value, v)
  } catch {
    return // npm's numbers have limits of their own
  }
  let decoded
  try {
    decoded = { decoded: tag(decode(type, buffer, v), type) }
  } catch (err) {
    decoded = { fails: true }
  }
  cases.push({ type, version: v, value: tag(value, type), bytes: buffer.toString('hex'), ...decoded })
}

for (const [name, type] of types) {
  const rounds = /^(need|may|list)-/.test(type.name) ? 4 : 12
  const seen = new Set()
  for (let i = 0; i < rounds; i++) {
    const value = make(name, 0)
    const key = JSON.stringify(tag(value, name))
    if (seen.has(key)) continue
    seen.add(key)
    record(name, value, version)
    if (type.name.startsWith('growing')) for (let v = 1; v < version; v++) record(name, value, v)
  }
}

// Read across versions, and what no writer gives.
const foreign = []
function read (type, hex, v = version) {
  let outcome
  try {
    outcome = { decoded: tag(decode(type, Buffer.from(hex, 'hex'), v), type) }
  } catch {
    outcome = { fails: true }
  }
  foreign.push({ type, version: v, bytes: hex, ...outcome })
}
for (const value of [{ id: 1 }, { id: 2, note: 'n', on: true, n: 5, last: -3 }]) {
  for (let from = 1; from <= version; from++) {
    const hex = encode('@test/growing', value, from).toString('hex')
    for (let to = 1; to <= version; to++) read('@test/growing', hex, to)
  }
}
read('@test/growing', '05')
read('@test/growing-too', '05')
read('@test/growing-list', '0202050101')
read('@test/growing-list', '02040100aabb0103')
read('@test/need-uint', 'fd0500')
read('@test/need-uint', 'ff0000000000002000')
read('@test/need-string', '03ff61e2')
read('@test/need-ascii', '0261e1')
read('@test/need-bool', '')
read('@test/may-bool', '00')
read('@test/list-bool', '0aff03')
read('@test/need-json', '0a7b2261223a312e307d20')
read('@test/need-json', '0161')
read('@test/text-enum', '09')
read('@test/number-enum', '09')
read('@test/by-name', '0301610101013202010101610103')
read('@test/by-number', '030a01610901620a0163')
read('@test/either', '0401')
read('@test/either', '000101')
read('@test/either', '02020161')
read('@test/deep', '0161')
read('@test/fixed-may', '07')

const lines = (list) => '[\n' + list.map((one) => JSON.stringify(one)).join(',\n') + '\n]'
console.log(`{"schemas": ${lines(schemas)},\n"cases": ${lines(cases)},\n"foreign": ${lines(foreign)}}`)
fs.rmSync(dir, { recursive: true })
