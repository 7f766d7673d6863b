// A peer that streams for as long as it runs: node stream.js send|recv HOST:PORT TOPIC_HEX
// send announces the topic, prints "ready", and sends messages of 64 KiB to whoever comes. recv prints "at <milliseconds> <bytes>",
// how much it had at that time (since 1970), with the first byte and ten times a second.
const Hyperswarm = require('hyperswarm')

const [mode, bootstrap, topic] = process.argv.slice(2)
const swarm = new Hyperswarm({ bootstrap: [bootstrap] })

swarm.on('connection', (connection) => {
  connection.on('error', () => {})
  if (mode === 'send') send(connection)
  else receive(connection)
})

function send (connection) {
  const chunk = Buffer.alloc(65536, 7)
  const more = () => {
    while (!connection.destroying) {
      if (!connection.write(chunk)) return connection.once('drain', more)
    }
  }
  more()
}

function receive (connection) {
  let bytes = 0
  const say = () => console.log('at ' + Date.now() + ' ' + bytes)
  connection.on('data', (data) => {
    const isFirst = bytes === 0
    bytes += data.length
    if (!isFirst) return
    say()
    setInterval(say, 100)
  })
  connection.write(Buffer.from('hello')) // As with every protocol over Hyperswarm, both speak at once.
}

const discovery = swarm.join(Buffer.from(topic, 'hex'), { server: mode === 'send', client: mode === 'recv' })
if (mode === 'send') discovery.flushed().then(() => console.log('ready'))
