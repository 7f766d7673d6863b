// Records the messages of npm blind-relay: node blind-relay.js > ../blind-relay/messages.json
// Run where that package is installed (tests/interop).
const c = require('compact-encoding')
const b4a = require('b4a')
const { messages } = require('blind-relay')

const fill = (n) => b4a.alloc(32, n)
const hex = (b) => b4a.toString(b, 'hex')

const pair = [
  { isInitiator: true, token: fill(1), id: 7, seq: 0 },
  { isInitiator: false, token: fill(2), id: 4294967295, seq: 0 },
  { isInitiator: true, token: fill(255), id: 252, seq: 65536 },
  { isInitiator: false, token: fill(0), id: 253, seq: 252 }
].map((m) => ({ ...m, token: hex(m.token), wire: hex(c.encode(messages.pair, m)) }))
const token = fill(9)

console.log(JSON.stringify({ pair, unpair: { token: hex(token), wire: hex(c.encode(messages.unpair, { token })) } }, null, 2))
