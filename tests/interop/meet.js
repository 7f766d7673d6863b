// A peer that announces a topic or looks for it: node meet.js serve|dial HOST:PORT TOPIC_HEX [RELAY_KEY_HEX]
// serve prints "ready" and greets whoever comes; dial prints "connected <milliseconds since its start>" when it was greeted.
const Hyperswarm = require('hyperswarm')

const [mode, bootstrap, topic, relay] = process.argv.slice(2)
const loaded = process.hrtime.bigint()
const swarm = new Hyperswarm({ bootstrap: [bootstrap], relayThrough: relay ? Buffer.from(relay, 'hex') : null })

swarm.on('connection', (connection) => {
  connection.on('error', () => {})
  if (mode === 'serve') return connection.write(Buffer.from('hello'))
  connection.write(Buffer.from('hello')) // As with every protocol over Hyperswarm, both speak at once.
  connection.once('data', () => {
    console.log('connected ' + Number((process.hrtime.bigint() - loaded) / 1000000n))
    process.exit(0)
  })
})

const discovery = swarm.join(Buffer.from(topic, 'hex'), { server: mode === 'serve', client: mode === 'dial' })
if (mode === 'serve') discovery.flushed().then(() => console.log('ready'))
