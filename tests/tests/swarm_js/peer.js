// A JavaScript peer for swarm_js.rs: node peer.js send|recv HOST:PORT TOPIC_HEX MESSAGES
// The sender announces and sends MESSAGES of 64 KiB, then "end"; the receiver prints "done <bytes>" when it has "end".
const Hyperswarm = require('hyperswarm')

const [mode, bootstrap, topic, messages] = process.argv.slice(2)
const [host, port] = bootstrap.split(':')
const swarm = new Hyperswarm({ bootstrap: [{ host, port: Number(port) }] })

swarm.on('connection', (connection) => {
  connection.on('error', () => {})
  if (mode === 'send') send(connection, Number(messages))
  else receive(connection)
})

function send (connection, left) {
  const chunk = Buffer.alloc(65536, 7)
  const more = () => {
    while (left-- > 0) {
      if (!connection.write(chunk)) return connection.once('drain', more)
    }
    connection.write(Buffer.from('end'))
  }
  more()
}

function receive (connection) {
  let bytes = 0
  connection.on('data', (data) => {
    bytes += data.length
    if (data.length !== 3) return
    console.log('done ' + bytes)
    process.exit(0)
  })
}

const discovery = swarm.join(Buffer.from(topic, 'hex'), { server: mode === 'send', client: mode === 'recv' })
discovery.flushed().then(() => console.log('ready'))
