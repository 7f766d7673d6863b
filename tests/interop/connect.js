// A swarm on a DHT of ours whose connections replicate a store.
const Hyperswarm = require('hyperswarm')

module.exports = function connect (store, bootstrap) {
  const swarm = new Hyperswarm({ bootstrap: [bootstrap] })
  swarm.on('connection', (connection) => {
    connection.on('error', () => {})
    store.replicate(connection)
  })
  return swarm
}
